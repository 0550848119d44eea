import { Popover } from '@base-ui/react/popover'
import type { ReactNode, RefObject } from 'react'

interface Props {
  anchor: RefObject<HTMLElement | null>
  label: string
  className: string
  align: 'start' | 'center' | 'end'
  onClose: () => void
  children: ReactNode
}

/** The open popup of a {@link PopoverButton}: takes the focus, closes by Esc or a press outside, gives it back. */
export default function PopoverPanel({
  anchor,
  label,
  className,
  align,
  onClose,
  children,
}: Props) {
  return (
    <Popover.Root
      open
      onOpenChange={(open, details) => {
        // A press on the button itself is the button's business.
        const onButton = anchor.current?.contains(details.event.target as Node | null)
        if (!open && !(details.reason === 'outside-press' && onButton)) onClose()
      }}
    >
      <Popover.Portal>
        <Popover.Positioner
          anchor={anchor}
          sideOffset={6}
          align={align}
          collisionPadding={8}
          className="layer"
        >
          <Popover.Popup className={`popup ${className}`} aria-label={label} finalFocus={anchor}>
            {children}
          </Popover.Popup>
        </Popover.Positioner>
      </Popover.Portal>
    </Popover.Root>
  )
}
