import { useMemo, type ReactNode } from 'react'
import { PopoverButton } from '../controls/popover-button'
import { formatDayMinute, zoneName, type Zone } from '../time/format'
import { textWidth } from './colours'
import { lookOf, type Mark } from './kinds'
import { placeLabels, type Label } from './labels'
import { LABEL_STRIP, type Geometry } from './plot'

const FONT = '600 12px "Inter Variable", Inter, sans-serif'
/** Padding and border of a label. */
const PADDING = 18
/** A label is cut at this width, and at a share of a narrow plot. */
const WIDTH_MAX = 164
const WIDTH_MIN = 64
const PLOT_SHARE = 0.2
const SUSPECT_SHARE = 0.42
/** Names are cut to these parts of their widths before labels are merged. */
const SHRINK = [1, 0.8, 0.64]
/** Room for " +12". */
const MORE_PX = 26

interface Props {
  marks: readonly Mark[]
  geometry: Geometry
  zone: Zone
  detail: (mark: Mark) => ReactNode
}

/** Buttons over the change lines, in the order of time: reachable by Tab, each opens what is known of the change. */
export function MarkLabels({ marks, geometry, zone, detail }: Props) {
  const labels = useMemo(() => {
    const span = geometry.toMs - geometry.fromMs
    const placed = marks
      .filter((mark) => mark.timeMs >= geometry.fromMs && mark.timeMs <= geometry.toMs)
      .map((mark) => ({ mark, x: ((mark.timeMs - geometry.fromMs) / span) * geometry.width }))
    const widest = Math.max(WIDTH_MIN, Math.min(WIDTH_MAX, geometry.width * PLOT_SHARE))
    // The suspect's name is what the page is about: it is cut last on a narrow screen.
    const suspect = Math.max(widest, Math.min(WIDTH_MAX, geometry.width * SUSPECT_SHARE))
    return placeLabels(placed, geometry.width, SHRINK, (lead, more, part) => {
      const most = Math.max(WIDTH_MIN, (lead.suspect ? suspect : widest) * part)
      const text = Math.ceil(textWidth(lead.label, FONT)) + PADDING
      return Math.min(text, most) + (more > 0 ? MORE_PX : 0)
    })
  }, [marks, geometry])
  return (
    <div
      className="mark-labels"
      role="group"
      aria-label="Changes on the chart"
      style={{ left: geometry.left, width: geometry.width, height: LABEL_STRIP }}
    >
      {labels.map((label) => (
        <MarkLabel key={label.lead.id} label={label} zone={zone} detail={detail} />
      ))}
    </div>
  )
}

function MarkLabel({
  label,
  zone,
  detail,
}: {
  label: Label
  zone: Zone
  detail: (mark: Mark) => ReactNode
}) {
  const look = lookOf(label.lead.kind)
  const classes = ['mark-label', `is-${look.name}`]
  if (label.lead.inferred) classes.push('is-inferred')
  if (label.lead.suspect) classes.push('is-suspect')
  const time = formatDayMinute(label.lead.timeMs, zone, label.lead.timeMs)
  return (
    <PopoverButton
      className={classes.join(' ')}
      style={{ left: label.left, width: label.width }}
      data-marks={label.marks.map((mark) => mark.id).join(' ')}
      data-kind={label.lead.kind}
      title={label.marks.map((mark) => mark.label).join('\n')}
      aria-label={`${label.lead.label}${label.more > 0 ? ` +${label.more}` : ''}, ${look.name}, ${time} ${zoneName(zone, label.lead.timeMs)}${label.lead.inferred ? ', inferred' : ''}`}
      popupLabel="Changes"
      popupClass="mark-popup"
      content={() =>
        label.marks.map((mark) => (
          <div key={mark.id} className="mark-detail">
            {detail(mark)}
          </div>
        ))
      }
    >
      <span>{label.lead.label}</span>
      {label.more > 0 && <b>+{label.more}</b>}
    </PopoverButton>
  )
}
