import { useState } from 'react'
import { Modal } from '../controls/modal'
import { setSingleKeys, singleKeysOn } from './shortcuts'

const GROUPS: { title: string; keys: [string, string][] }[] = [
  {
    title: 'Anywhere',
    keys: [
      ['Ctrl K', 'jump to a page, metric, alert or dataset'],
      ['/', 'the same'],
      ['g e', 'Explore'],
      ['g m', 'Metrics'],
      ['g a', 'Alerts'],
      ['y', 'copy a link with fixed times'],
      ['?', 'this list'],
      ['Esc', 'close, or cancel a query'],
    ],
  },
  {
    title: 'Time',
    keys: [
      ['[ ]', 'earlier, later by half the range'],
      ['- =', 'longer, shorter range'],
      ['← →', 'on a chart: point by point'],
      ['Enter', 'on a chart: raw events of the point'],
    ],
  },
  {
    title: 'Metric and alerts',
    keys: [
      ['a', 'acknowledge'],
      ['m', 'silence'],
      ['o', 'open the suspect'],
      ['j k', 'next, previous alert'],
    ],
  },
  {
    title: 'Explore',
    keys: [
      ['Ctrl Enter', 'run'],
      ['s', 'to the SQL editor'],
      ['j k', 'next, previous row'],
      ['Enter', 'open the event'],
      ['f x', 'filter by, exclude the cell'],
    ],
  },
]

/** The list of keys, and the switch for single letters. */
export function ShortcutHelp({ onClose }: { onClose: () => void }) {
  const [single, setSingle] = useState(singleKeysOn)
  const change = (on: boolean) => {
    setSingle(on)
    setSingleKeys(on)
  }
  return (
    <Modal title="Keys" open onClose={onClose} width={680}>
      <div className="key-groups">
        {GROUPS.map((group) => (
          <section key={group.title}>
            <h3>{group.title}</h3>
            <dl>
              {group.keys.map(([key, meaning]) => (
                <div key={key}>
                  <dt>
                    {key.split(' ').map((part) => (
                      <kbd key={part}>{part}</kbd>
                    ))}
                  </dt>
                  <dd>{meaning}</dd>
                </div>
              ))}
            </dl>
          </section>
        ))}
      </div>
      <label className="check">
        <input
          type="checkbox"
          checked={single}
          onChange={(event) => change(event.target.checked)}
        />
        Single letters work as keys
      </label>
    </Modal>
  )
}
