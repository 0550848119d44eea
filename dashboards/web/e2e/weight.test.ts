/** What a first visit downloads: scripts and styles, compressed as the server sends them. */

import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { open, startBrowser } from './browser'
import { startServer, type Server } from './server'
import { METRIC } from './site'

const FIRST_LOAD_BYTES_MAX = 220_000
const EDITOR_BYTES_MAX = 130_000

let server: Server
let browser: Browser

beforeAll(async () => {
  browser = await startBrowser()
  server = await startServer({ 'metrics/bookings.toml': METRIC })
  await server.api('/events/shop', { body: { id: 'first', route: '/' } })
})

afterAll(async () => {
  await browser?.close()
  await server?.stop()
})

/** Bytes of each script and style a page loads, by file name. */
async function loaded(path: string): Promise<Map<string, number>> {
  const { page } = await open(browser, 'about:blank')
  const sizes = new Map<string, number>()
  const pending: Promise<void>[] = []
  page.on('response', (response) => {
    const name = new URL(response.url()).pathname
    if (!/\.(js|css)$/.test(name)) return
    pending.push(
      response
        .request()
        .sizes()
        .then((size) => void sizes.set(name, size.responseBodySize)),
    )
  })
  await page.goto(server.url + path)
  await page.locator('h1').waitFor()
  await page.waitForLoadState('networkidle')
  await Promise.all(pending)
  return sizes
}

const isEditor = (name: string) => /\/editor-/.test(name)

test.each(['/', '/metrics/bookings', '/explore', '/alerts'])(
  'the first visit of %s is light',
  async (path) => {
    const sizes = await loaded(path)
    let bytes = 0
    for (const [name, size] of sizes) if (!isEditor(name)) bytes += size
    expect(bytes).toBeGreaterThan(50_000)
    expect(bytes).toBeLessThanOrEqual(FIRST_LOAD_BYTES_MAX)
  },
)

test('the editor comes with Explore only, and is not heavy either', async () => {
  const editor = [...(await loaded('/explore'))].filter(([name]) => isEditor(name))
  expect(editor.length).toBeGreaterThan(0)
  expect(editor.reduce((sum, [, size]) => sum + size, 0)).toBeLessThanOrEqual(EDITOR_BYTES_MAX)
  expect([...(await loaded('/')).keys()].some(isEditor)).toBe(false)
})
