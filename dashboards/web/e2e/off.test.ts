/** "Turn it off", pressed in a browser: the server calls a loopback target, and the page says that the metric recovered. */

import { createHmac } from 'node:crypto'
import { createServer, type Server as HttpServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { breakCheckout, type Alert, type Breakage } from './breakage'
import { axe, open, startBrowser } from './browser'
import { startServer, until, type Server } from './server'
import { METRIC } from './site'

const KEY = 'MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'
/** A whole minute after the press, its watermark, and a loaded machine. */
const RECOVERY_MS = 240_000

interface Call {
  method: string
  url: string
  body: string
  signed: boolean
}

const calls: Call[] = []
let target: HttpServer
let server: Server
let browser: Browser
let broken: Breakage

beforeAll(async () => {
  browser = await startBrowser()
  target = createServer((request, response) => {
    let body = ''
    request.on('data', (chunk: Buffer) => (body += chunk.toString()))
    request.on('end', () => {
      const header = (name: string) => String(request.headers[name] ?? '')
      const text = `${header('webhook-id')}.${header('webhook-timestamp')}.${body}`
      const hmac = createHmac('sha256', Buffer.from(KEY, 'base64')).update(text).digest('base64')
      const signed = header('webhook-signature') === `v1,${hmac}`
      broken.mend()
      calls.push({ method: request.method ?? '', url: request.url ?? '', body, signed })
      response.writeHead(200).end('ok')
    })
  })
  await new Promise<void>((resolve) => target.listen(0, '127.0.0.1', resolve))
  const address = `http://127.0.0.1:${(target.address() as AddressInfo).port}`
  server = await startServer(
    { 'metrics/bookings.toml': METRIC, 'metrics/off.key': `whsec_${KEY}\n` },
    [],
    '',
    { YELLOWLINE_ALERTER__OFF_TARGETS: `[{ url = "${address}", secret_file = "off.key" }]` },
  )
  broken = await breakCheckout(server, {
    url: `${address}/experiments/13`,
    method: 'PUT',
    body: { share: 0 },
  })
})

afterAll(async () => {
  await broken?.stop()
  await browser?.close()
  await server?.stop()
  target?.close()
})

test('a suspect is turned off after a question, and the incident says that it recovered', async () => {
  const { page, problems } = await open(browser, `${server.url}/alerts/${broken.alert.id}`)
  const suspects = page.getByRole('region', { name: 'Suspects' })
  await suspects.locator('.ledger').first().waitFor()
  const dark = await open(browser, `${server.url}/alerts/${broken.alert.id}`, { theme: 'dark' })
  await dark.page.getByRole('button', { name: 'Turn it off' }).waitFor()
  expect(await axe(dark.page)).toEqual([])
  await dark.page.context().close()
  await page.getByRole('button', { name: 'Turn it off' }).click()
  const dialog = page.getByRole('dialog', { name: 'Turn it off?' })
  const shown = await dialog.locator('pre').innerText()
  expect(shown).toMatch(/^PUT http:\/\/127\.0\.0\.1:\d+\/experiments\/13\n\{\s*"share": 0\s*\}$/)
  expect(await axe(page)).toEqual([])
  await page.keyboard.press('Escape')
  await dialog.waitFor({ state: 'detached' })
  expect(calls).toEqual([])

  await page.getByRole('button', { name: 'Turn it off' }).click()
  await dialog.getByLabel('Your name').fill('p.jansen')
  await dialog.getByRole('button', { name: 'Turn it off' }).click()
  await page.getByText('p.jansen turned off experiment 13').waitFor()
  await page.getByText('watching whether it recovers').waitFor()
  const sent = { method: 'PUT', url: '/experiments/13', body: '{"share":0}', signed: true }
  expect(calls).toEqual([sent])
  expect(await page.getByRole('button', { name: 'Turn it off' }).count()).toBe(0)
  await page.locator(`[data-marks~="off-${broken.changeId}"]`).waitFor()

  await page.getByText('recovered after off', { exact: true }).waitFor({ timeout: RECOVERY_MS })
  const alert = await server.api<Alert>(`/alerts/${broken.alert.id}`)
  expect(alert.off_actions[0]!.outcome).toBe('recovered')
  expect(alert.sentence).toMatch(/recovered after off\.$/)
  expect(calls.length).toBe(1)
  expect(await axe(page)).toEqual([])
  expect(problems).toEqual([])
})

test('the address of a page with the question opens it, and the case can be saved', async () => {
  const id = broken.alert.id
  const { page } = await open(browser, `${server.url}/alerts/${id}`)
  const [download] = await Promise.all([
    page.waitForEvent('download'),
    page.getByRole('button', { name: 'Export the case' }).click(),
  ])
  expect(download.suggestedFilename()).toBe(`${id}.md`)
  await until(
    async () => {
      const response = await fetch(`${server.url}/api/v1/alerts/${id}/case?format=md`)
      const text = await response.text()
      return text.includes('p.jansen turned off experiment 13')
    },
    'the case to tell who turned it off',
    10_000,
  )
})
