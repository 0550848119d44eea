/** Small things remembered in this browser; a blocked or full storage is no error. */

/** Reads a JSON value; the fallback when there is none or it is not readable. */
export function recall<T>(name: string, fallback: T): T {
  try {
    const text = localStorage.getItem(`yellowline.${name}`)
    return text === null ? fallback : (JSON.parse(text) as T)
  } catch {
    return fallback
  }
}

/** Keeps a JSON value. */
export function remember(name: string, value: unknown): void {
  try {
    localStorage.setItem(`yellowline.${name}`, JSON.stringify(value))
  } catch {
    // Not kept: it is a convenience only.
  }
}
