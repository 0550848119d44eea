import type { ButtonHTMLAttributes } from 'react'

interface Props extends ButtonHTMLAttributes<HTMLButtonElement> {
  tone?: 'primary' | 'danger' | 'quiet'
}

/** A button of the console; `type` is never submit by accident. */
export function Button({ tone, className = '', type = 'button', ...rest }: Props) {
  const classes = ['button', tone ? `is-${tone}` : '', className].filter(Boolean).join(' ')
  return <button type={type} className={classes} {...rest} />
}
