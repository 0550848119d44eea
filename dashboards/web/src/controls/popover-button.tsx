import { lazy, Suspense, useRef, useState, type ButtonHTMLAttributes, type ReactNode } from 'react'

const load = () => import('./popover-panel')
const PopoverPanel = lazy(load)

interface Props extends Omit<ButtonHTMLAttributes<HTMLButtonElement>, 'content'> {
  /** What the popup is called. */
  popupLabel: string
  popupClass?: string
  align?: 'start' | 'center' | 'end'
  /** The popup's content; `close` closes it. */
  content: (close: () => void) => ReactNode
}

/** A button that opens a popup. The popup's code is loaded when somebody is about to need it. */
export function PopoverButton({
  popupLabel,
  popupClass = '',
  align = 'center',
  content,
  children,
  ...rest
}: Props) {
  const [open, setOpen] = useState(false)
  const button = useRef<HTMLButtonElement>(null)
  const close = () => setOpen(false)
  return (
    <>
      <button
        type="button"
        {...rest}
        ref={button}
        aria-haspopup="dialog"
        aria-expanded={open}
        onPointerEnter={() => void load()}
        onFocus={() => void load()}
        onClick={() => setOpen(!open)}
      >
        {children}
      </button>
      {open && (
        <Suspense fallback={null}>
          <PopoverPanel
            anchor={button}
            label={popupLabel}
            className={popupClass}
            align={align}
            onClose={close}
          >
            {content(close)}
          </PopoverPanel>
        </Suspense>
      )}
    </>
  )
}
