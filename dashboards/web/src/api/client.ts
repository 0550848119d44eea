/** The only file that talks to the network. Every other file asks through these functions. */

const KEY = 'yellowline.key'
const BASE = '/api/v1'

/** Line and column, counted from 1, of the place in the SQL text an error speaks of. */
export interface Position {
  line: number
  column: number
}

/** An answer of the API that is no success, in the one error shape of every route. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly requestId: string,
    readonly position?: Position,
    readonly retryAfterS?: number,
  ) {
    super(message)
    this.name = 'ApiError'
  }
}

type Listener = () => void
const keyListeners = new Set<Listener>()
let keyNeeded = false

/** True after a 401 until a key is given: the page shows a prompt. */
export const isKeyNeeded = (): boolean => keyNeeded

/** Subscribes to changes of {@link isKeyNeeded}. */
export function onKeyNeeded(listener: Listener): () => void {
  keyListeners.add(listener)
  return () => keyListeners.delete(listener)
}

/** Keeps the key for this tab only. */
export function giveKey(key: string): void {
  sessionStorage.setItem(KEY, key.trim())
  setKeyNeeded(false)
}

function setKeyNeeded(needed: boolean): void {
  if (keyNeeded === needed) return
  keyNeeded = needed
  for (const listener of keyListeners) listener()
}

type Params = Record<string, string | number | undefined>

function address(path: string, params: Params = {}): string {
  const search = new URLSearchParams()
  for (const [name, value] of Object.entries(params)) {
    if (value !== undefined && value !== '') search.set(name, String(value))
  }
  const text = search.toString()
  return BASE + path + (text === '' ? '' : `?${text}`)
}

function headers(fields: Record<string, string>): Headers {
  const all = new Headers(fields)
  const key = sessionStorage.getItem(KEY)
  if (key) all.set('authorization', `Bearer ${key}`)
  return all
}

async function ask(url: string, init: RequestInit): Promise<Response> {
  let response: Response
  try {
    response = await fetch(url, init)
  } catch (error) {
    if (error instanceof DOMException && error.name === 'AbortError') throw error
    throw new ApiError(0, 'unreachable', 'The server does not answer. Is it running?', '')
  }
  if (response.ok) return response
  if (response.status === 401) setKeyNeeded(true)
  throw await problem(response)
}

interface ErrorBody {
  error?: { code?: string; message?: string; request_id?: string; position?: Position }
}

async function problem(response: Response): Promise<ApiError> {
  const body = (await response.json().catch(() => ({}))) as ErrorBody
  const error = body.error ?? {}
  const retryAfter = Number(response.headers.get('retry-after'))
  return new ApiError(
    response.status,
    error.code ?? 'http_error',
    error.message ?? `The server answered ${response.status} ${response.statusText}`.trim(),
    error.request_id ?? response.headers.get('x-request-id') ?? '',
    error.position,
    retryAfter > 0 ? retryAfter : undefined,
  )
}

/** GET of a JSON document. */
export async function get<T>(path: string, params?: Params, signal?: AbortSignal): Promise<T> {
  const response = await ask(address(path, params), {
    headers: headers({ accept: 'application/json' }),
    signal: signal ?? null,
  })
  return (await response.json()) as T
}

/** GET of a text. */
export async function getText(path: string, params?: Params): Promise<string> {
  const response = await ask(address(path, params), { headers: headers({}) })
  return response.text()
}

/** POST or DELETE with an optional JSON body; `undefined` when the answer has none. */
export async function send<T>(method: 'POST' | 'DELETE', path: string, body?: unknown): Promise<T> {
  const response = await ask(address(path), {
    method,
    headers: headers({ accept: 'application/json', 'content-type': 'application/json' }),
    body: body === undefined ? null : JSON.stringify(body),
  })
  const text = await response.text()
  return (text === '' ? undefined : JSON.parse(text)) as T
}

/** A POST whose answer is not JSON: its bytes and its header fields. */
export async function sendForBytes(
  path: string,
  body: unknown,
  accept: string,
  signal: AbortSignal,
  onHeaders: (fields: Headers) => void,
): Promise<{ bytes: Uint8Array; contentType: string; fields: Headers }> {
  const response = await ask(address(path), {
    method: 'POST',
    headers: headers({ accept, 'content-type': 'application/json' }),
    body: JSON.stringify(body),
    signal,
  })
  onHeaders(response.headers)
  const bytes = new Uint8Array(await response.arrayBuffer())
  return {
    bytes,
    contentType: response.headers.get('content-type') ?? '',
    fields: response.headers,
  }
}

/** The build of the console the server would serve now; '' when it cannot be told. */
export async function servedBuild(): Promise<string> {
  try {
    const response = await fetch('/', { method: 'HEAD', cache: 'no-store' })
    return response.headers.get('yellowline-console-build') ?? ''
  } catch {
    return ''
  }
}
