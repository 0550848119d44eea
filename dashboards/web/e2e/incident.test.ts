/** The main job in a browser: a real incident, made over HTTP, shows its yellow line and its sentence. */

import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { breakCheckout, type Alert, type Breakage } from './breakage'
import { axe, open, startBrowser } from './browser'
import { startServer, until, type Server } from './server'
import { METRIC } from './site'

let server: Server
let browser: Browser
let broken: Breakage
let alert: Alert
let changeId: string

beforeAll(async () => {
  browser = await startBrowser()
  server = await startServer({ 'metrics/bookings.toml': METRIC })
  const off = { url: 'https://flags.example.com/13/off', method: 'POST' }
  broken = await breakCheckout(server, off)
  alert = broken.alert
  changeId = broken.changeId
})

afterAll(async () => {
  await broken?.stop()
  await browser?.close()
  await server?.stop()
})

/** Pixels of a canvas column that have a CSS token's colour. */
const linePixels = (page: Page, label: string, token: string) =>
  page.evaluate(
    ([selector, name]) => {
      const button = document.querySelector<HTMLElement>(selector!)!
      const chart = button.closest<HTMLElement>('.chart')!
      const canvas = chart.querySelector('canvas')!
      const probe = document.createElement('i')
      probe.style.color = `var(${name})`
      document.body.append(probe)
      const wanted = getComputedStyle(probe).color.match(/\d+/g)!.map(Number)
      probe.remove()
      const box = canvas.getBoundingClientRect()
      const ratio = canvas.width / box.width
      const over = button.getBoundingClientRect()
      const left = Math.round((over.left - box.left) * ratio)
      const width = Math.round(over.width * ratio)
      const { data } = canvas.getContext('2d')!.getImageData(left, 0, width, canvas.height)
      let most = 0
      for (let x = 0; x < width; x += 1) {
        let count = 0
        for (let y = 0; y < canvas.height; y += 1) {
          const at = (y * width + x) * 4
          const near = [0, 1, 2].every((part) => Math.abs(data[at + part]! - wanted[part]!) <= 12)
          if (near) count += 1
        }
        most = Math.max(most, count)
      }
      return most / canvas.height
    },
    [label, token],
  )

describe('an incident', () => {
  test('shows the sentence, with its suspect as a link to the yellow line', async () => {
    const { page, problems } = await open(browser, `${server.url}/metrics/bookings`)
    const strip = page.locator('[data-alert]')
    await strip.waitFor()
    let shown = ''
    await until(
      async () => {
        shown = (await strip.locator('.sentence').innerText()).replaceAll(/\s+/g, ' ')
        const { sentence } = await server.api<Alert>(`/alerts/${alert.id}`)
        return shown.replace(/\d+ minutes?/, 'n') === sentence.replace(/\d+ minutes?/, 'n')
      },
      'the page to show the sentence of the incident, which is anew each minute',
      15_000,
    )
    expect(shown).toMatch(/yellow activation line of experiment 13/)

    const label = `[data-marks~="${changeId}"]`
    await page.locator(label).waitFor()
    expect(await page.locator(label).getAttribute('data-kind')).toBe('experiment')
    expect(await linePixels(page, label, '--line-activation')).toBeGreaterThan(0.6)

    await strip.locator('.suspect-link').first().click()
    const popup = page.locator('.mark-popup')
    await popup.waitFor()
    expect(await popup.innerText()).toContain('m.visser')
    await page.keyboard.press('Escape')
    await popup.waitFor({ state: 'detached' })
    expect(problems).toEqual([])
  })

  test('ranks the suspects and never leaves out the unknown cause', async () => {
    const { page } = await open(browser, `${server.url}/alerts/${alert.id}`)
    await page.waitForURL(/\/metrics\/bookings\?.*alert=/)
    const panel = page.getByRole('region', { name: 'Suspects' })
    await panel.getByText('unknown cause').waitFor()
    const names = await panel.locator('.suspect-name').allInnerTexts()
    expect(names[0]).toContain('experiment 13')
    expect(names.at(-1)).toBe('unknown cause')
    expect(await panel.innerText()).toContain('https://flags.example.com/13/off')
  })

  test('every point of the chart opens the events it counts', async () => {
    const { page, problems } = await open(browser, `${server.url}/metrics/bookings`)
    const slider = page.getByRole('slider', { name: /Bookings/ })
    await slider.focus()
    await slider.press('End')
    for (let step = 0; step < 14; step += 1) await slider.press('ArrowLeft')
    const point = (await slider.getAttribute('aria-valuetext'))!
    const actual = Number(/actual (\d+)/.exec(point)![1])
    await slider.press('Enter')
    await page.waitForURL(/\/explore\?/)
    const result = page.getByRole('region', { name: 'Result' })
    await result.getByText(`${actual} row`).waitFor()
    expect(await page.locator('.cm-content').innerText()).toContain("route = '/checkout/pay'")
    expect(problems).toEqual([])
  })

  test('one query in the editor finds the bad variant', async () => {
    const sql = `select "experiments.13" as variant, count(*) as failed from events where status = 500 group by 1`
    const { page } = await open(
      browser,
      `${server.url}/explore?ds=shop&q=${encodeURIComponent(sql)}`,
    )
    const cell = page.getByRole('gridcell').first()
    await cell.waitFor()
    expect(await cell.innerText()).toBe('B')
    await page.getByText('1 row').first().waitFor()
  })

  test('is acknowledged and silenced with a name, and says so', async () => {
    const { page } = await open(browser, `${server.url}/metrics/bookings`)
    await page.getByRole('button', { name: 'Acknowledge' }).click()
    const dialog = page.getByRole('dialog', { name: 'Acknowledge' })
    await dialog.getByLabel('Your name').fill('p.jansen')
    await dialog.getByRole('button', { name: 'Acknowledge' }).click()
    await page.getByText('Acknowledged by p.jansen').waitFor()

    await page.getByRole('button', { name: 'Silence' }).click()
    const silence = page.getByRole('dialog', { name: /Silence/ })
    await silence.getByText('4 hours').click()
    await silence.getByLabel('Reason').fill('rolling back')
    await silence.getByRole('button', { name: 'Silence' }).click()
    await page.getByRole('button', { name: /Silent until .* end/ }).click()
    await page.getByRole('button', { name: 'Silence' }).waitFor()

    const { alerts } = await server.api<{ alerts: { acknowledged_by: string }[] }>('/alerts')
    expect(alerts[0]!.acknowledged_by).toBe('p.jansen')
  })

  test('is first on the list of alerts and takes a verdict', async () => {
    const { page } = await open(browser, `${server.url}/alerts`)
    const card = page.locator('.alert-card').first()
    await card.getByRole('button', { name: 'True' }).click()
    await card.locator('button[aria-pressed="true"]', { hasText: 'True' }).waitFor()
    const { feedback } = await server.api<{ feedback: { verdict: string } }>(`/alerts/${alert.id}`)
    expect(feedback.verdict).toBe('true')
  })

  test('a new change is on the chart within seconds, without a reload', async () => {
    const { page } = await open(browser, `${server.url}/metrics/bookings`)
    await page.locator('[data-alert]').waitFor()
    const { id } = await server.api<{ id: string }>('/changes', {
      body: { kind: 'chaos', title: 'kill one host', environment: 'production' },
    })
    await page.locator(`[data-marks~="${id}"]`).waitFor()
  })

  test('a copied link shows the same next week', async () => {
    const { page } = await open(browser, `${server.url}/metrics/bookings`)
    await page.context().grantPermissions(['clipboard-read', 'clipboard-write'])
    await page.locator('[data-alert]').waitFor()
    await page.getByRole('button', { name: 'Copy link' }).click()
    await page.getByText('Link copied').waitFor()
    const link = await page.evaluate(() => navigator.clipboard.readText())
    expect(link).toMatch(/from=\d{4}-\d\d-\d\dT[\d:.]+Z&to=\d{4}-\d\d-\d\dT[\d:.]+Z/)
  })

  test.each([
    ['light', 1440],
    ['dark', 1440],
    ['light', 390],
    ['dark', 390],
  ] as const)(
    'is accessible in the %s theme at %i px, and nothing sticks out',
    async (theme, width) => {
      const view = { theme, width, height: 844 }
      for (const path of ['/metrics/bookings', '/', '/alerts', '/explore']) {
        const { page, problems } = await open(browser, server.url + path, view)
        await page.locator('.top-bar').waitFor()
        await page.waitForLoadState('networkidle')
        expect(await axe(page), path).toEqual([])
        const overflow = await page.evaluate(
          () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
        )
        expect(overflow, path).toBeLessThanOrEqual(0)
        expect(problems, path).toEqual([])
        await page.context().close()
      }
    },
  )
})
