/** Explore against a real server: from the first event to a filtered result. */

import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { axe, open, startBrowser } from './browser'
import { startServer, type Server } from './server'

let server: Server
let browser: Browser

beforeAll(async () => {
  browser = await startBrowser()
  server = await startServer()
})

afterAll(async () => {
  await browser?.close()
  await server?.stop()
})

const EVENT = {
  id: 'first',
  route: '/checkout/pay',
  status: 500,
  duration_ms: 184.2,
  'service.name': 'web',
  experiments: { '13': 'B' },
  big: 9007199254740993n,
  cart: { rooms: [{ id: 1 }, { id: 2 }] },
}
const body = (event: Record<string, unknown>) =>
  JSON.stringify(event, (_key, value) => (typeof value === 'bigint' ? `#${value}` : value)).replace(
    /"#(\d+)"/g,
    '$1',
  )

describe('Explore', () => {
  test('waits for the first event, and shows it when it comes', async () => {
    const { page, problems } = await open(browser, `${server.url}/explore`)
    await page.getByText('Waiting for the first event').waitFor()
    expect(await page.locator('.code-block').innerText()).toContain(
      `curl ${server.url}/api/v1/events/shop`,
    )
    expect(await axe(page)).toEqual([])
    await server.api('/events/shop', { body: body(EVENT) })
    const others = ['/search', '/hotel/:id', '/search'].map((route, index) =>
      body({ ...EVENT, id: `e${index}`, route, status: 200, experiments: { '13': 'control' } }),
    )
    await server.api('/events/shop', { body: others.join('\n') })
    await page.locator('.cm-content').waitFor()
    await page.getByRole('region', { name: 'Result' }).waitFor()
    expect(problems).toEqual([])
  })

  test('completes columns, tables and values from the data', async () => {
    const { page } = await open(browser, `${server.url}/explore?ds=shop`)
    const editor = page.locator('.cm-content')
    await editor.click()
    await page.keyboard.press('Control+a')
    await page.keyboard.type('select service.na')
    const list = page.locator('.cm-tooltip-autocomplete')
    await list.getByText('service.name').first().click()
    await page.keyboard.type(' from ')
    await list.getByText('events').first().click()
    await page.keyboard.type(" where route = '/che")
    await list.getByText("'/checkout/pay'").click()
    expect(await editor.innerText()).toBe(
      "select service.name from events where route = '/checkout/pay'",
    )
    await page.keyboard.press('Control+Enter')
    await page.getByRole('gridcell', { name: 'web' }).waitFor()
    expect(page.url()).toContain('q=select+service.name')
  })

  test('marks an error at its place and offers the nearest name', async () => {
    const sql = 'select rout from events where time < $to'
    const { page } = await open(
      browser,
      `${server.url}/explore?ds=shop&q=${encodeURIComponent(sql)}`,
    )
    const problem = page.locator('.query-problem')
    await problem.waitFor()
    expect(await page.locator('.cm-lintRange-error').innerText()).toBe('rout')
    await problem.getByRole('button', { name: 'route', exact: true }).click()
    await page.getByRole('button', { name: /^Run/ }).click()
    await page.getByRole('gridcell', { name: '/checkout/pay' }).waitFor()
    expect(await problem.count()).toBe(0)
  })

  test('filters by a cell, counts by a column, and goes back', async () => {
    const sql = 'select * from events'
    const { page } = await open(
      browser,
      `${server.url}/explore?ds=shop&q=${encodeURIComponent(sql)}`,
    )
    const result = page.getByRole('region', { name: 'Result' })
    await result.getByText('4 rows').waitFor()
    await page.getByRole('gridcell', { name: '/checkout/pay' }).click()
    await page.getByRole('menuitem', { name: 'Filter to this' }).click()
    await result.getByText('1 row').waitFor()
    expect(await page.locator('.cm-content').innerText()).toContain("where route = '/checkout/pay'")
    await page.goBack()
    await result.getByText('4 rows').waitFor()
    await page.getByRole('columnheader', { name: 'route' }).click()
    await page.getByRole('menuitem', { name: 'Count by route' }).click()
    await page.getByRole('gridcell', { name: '2', exact: true }).waitFor()
  })

  test('opens an event as it was sent, and the address holds it', async () => {
    const sql = 'select * from events where status = 500'
    const { page } = await open(
      browser,
      `${server.url}/explore?ds=shop&q=${encodeURIComponent(sql)}`,
    )
    const grid = page.getByRole('grid')
    await page.getByRole('gridcell', { name: '/checkout/pay' }).waitFor()
    await grid.focus()
    await page.keyboard.press('j')
    await page.keyboard.press('Enter')
    const drawer = page.getByRole('dialog', { name: 'Event' })
    await drawer.getByText('experiments.13').waitFor()
    expect(page.url()).toContain('ev=first')
    expect(await axe(page)).toEqual([])
    await page.keyboard.press('Escape')
    await drawer.waitFor({ state: 'detached' })
    expect(page.url()).not.toContain('ev=')
  })

  test('shows integers beyond 2^53 with all their digits', async () => {
    const sql = "select big from events where event_id = 'first'"
    const { page } = await open(
      browser,
      `${server.url}/explore?ds=shop&q=${encodeURIComponent(sql)}`,
    )
    await page.getByRole('gridcell', { name: '9007199254740993' }).waitFor()
  })

  test('says what the answer cost', async () => {
    const { page } = await open(browser, `${server.url}/explore?ds=shop`)
    await page
      .locator('.stats')
      .getByText(/rows scanned/)
      .waitFor()
    expect(await page.locator('.stats').innerText()).toMatch(
      /\d.*ms[\s\S]*rows scanned[\s\S]*data to \d\d:\d\d:\d\d UTC/,
    )
  })

  test('Esc cancels a long query and the page stays usable', async () => {
    const sql = 'select max(value % 7) from generate_series(1, 9000000000)'
    const { page } = await open(
      browser,
      `${server.url}/explore?ds=shop&q=${encodeURIComponent(sql)}`,
    )
    await page.getByRole('button', { name: /Cancel/ }).waitFor()
    await page.locator('h1').click()
    await page.keyboard.press('Escape')
    await page.getByRole('button', { name: /^Run/ }).waitFor()
  })

  test('keeps the last queries', async () => {
    const { page } = await open(browser, `${server.url}/explore?ds=shop&q=select+1+as+one`)
    await page.getByRole('gridcell', { name: '1', exact: true }).waitFor()
    await page.getByRole('button', { name: 'History' }).click()
    await page.locator('.history-item', { hasText: 'select 1 as one' }).waitFor()
  })

  test('jumps with Ctrl K and lists its keys', async () => {
    const { page } = await open(browser, `${server.url}/`)
    await page.locator('.top-bar').waitFor()
    await page.keyboard.press('Control+k')
    await page.getByRole('combobox').fill('shop')
    await page.getByRole('option', { name: /shop/ }).first().waitFor()
    expect(await axe(page)).toEqual([])
    await page.keyboard.press('Enter')
    await page.waitForURL(/\/explore\?ds=shop/)
    await page.locator('h1').click()
    await page.keyboard.press('?')
    await page.getByRole('dialog', { name: 'Keys' }).waitFor()
    expect(await axe(page)).toEqual([])
  })
})
