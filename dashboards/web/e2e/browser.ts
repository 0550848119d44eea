/** A real chromium, and pages that fail a test when the console complains. */

import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { chromium, type Browser, type Page } from 'playwright-core'

const ARGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]

/** Starts chromium. */
export const startBrowser = (): Promise<Browser> =>
  chromium.launch({
    executablePath: process.env['CHROMIUM'] ?? '/usr/bin/chromium',
    args: ARGS,
  })

/** How a page is opened. */
export interface View {
  width?: number
  height?: number
  theme?: 'light' | 'dark'
}

/** A page, and what went wrong in it: script errors and breaches of the content security policy. */
export interface Watched {
  page: Page
  problems: string[]
}

/** Opens an address. */
export async function open(browser: Browser, url: string, view: View = {}): Promise<Watched> {
  const { width = 1440, height = 900, theme = 'light' } = view
  const context = await browser.newContext({
    viewport: { width, height },
    colorScheme: theme,
    bypassCSP: false,
  })
  const page = await context.newPage()
  page.setDefaultTimeout(20_000)
  const problems: string[] = []
  page.on('pageerror', (error) => problems.push(`script: ${error.message}`))
  page.on('console', (message) => {
    const text = message.text()
    // A refused query is an answer; the browser prints every status of 400 and above.
    if (message.type() === 'error' && !text.startsWith('Failed to load resource'))
      problems.push(text)
  })
  await page.goto(url)
  return { page, problems }
}

let axeSource: Promise<string> | undefined

/** Rules of WCAG 2.0 to 2.2 A and AA, and best practice, on the page as it is; one line per violation. */
export async function axe(page: Page): Promise<string[]> {
  axeSource ??= readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
  const source = await axeSource
  // Evaluated over the debugging protocol: the page's policy refuses injected scripts, as it should.
  await page.evaluate(source)
  return page.evaluate(async () => {
    const { axe } = window as unknown as { axe: typeof import('axe-core') }
    const tags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']
    const result = await axe.run(
      // Base UI's focus guards are focusable and hidden on purpose: they send the focus on at once.
      { exclude: [['[data-base-ui-focus-guard]']] },
      { runOnly: tags },
    )
    return result.violations.map(
      (one) =>
        `${one.id}: ${one.help} (${one.nodes.map((node) => node.html.slice(0, 120)).join(' | ')})`,
    )
  })
}
