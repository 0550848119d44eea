import { Dialog } from '@base-ui/react/dialog'
import { X } from 'lucide-react'
import type { ReactNode } from 'react'

interface Props {
  title: string
  description?: ReactNode
  open: boolean
  onClose: () => void
  children: ReactNode
  /** `drawer` stands at the right edge over half of the page. */
  place?: 'centre' | 'drawer'
  /** A key prompt has nothing to go back to. */
  closable?: boolean
  width?: number
}

/** A dialog that keeps the focus inside and gives it back. */
export function Modal({
  title,
  description,
  open,
  onClose,
  children,
  place = 'centre',
  closable = true,
  width,
}: Props) {
  return (
    <Dialog.Root open={open} onOpenChange={(next) => !next && closable && onClose()}>
      <Dialog.Portal>
        <Dialog.Backdrop className="backdrop" />
        <Dialog.Popup className={`modal is-${place}`} style={width ? { width } : undefined}>
          <header className="modal-head">
            <Dialog.Title className="modal-title">{title}</Dialog.Title>
            {closable && (
              <Dialog.Close className="button is-quiet is-icon" aria-label="Close">
                <X size={16} aria-hidden="true" />
              </Dialog.Close>
            )}
          </header>
          {description && <Dialog.Description className="muted">{description}</Dialog.Description>}
          {children}
        </Dialog.Popup>
      </Dialog.Portal>
    </Dialog.Root>
  )
}
