/** Starts a real `yellowline serve` on a free port and an empty data folder, and speaks to it. */

import { spawn, type ChildProcess } from 'node:child_process'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const READY_MS = 60_000
const STOP_MS = 20_000

/** A running server. */
export interface Server {
  url: string
  /** What it printed so far. */
  output: () => string
  /** GET or POST under /api/v1; throws on an answer that is no success. */
  api: <T>(path: string, init?: { body?: unknown; contentType?: string }) => Promise<T>
  stop: () => Promise<void>
}

/** Files below the data folder, by path. */
type Files = Record<string, string>

/** The binary to test, or a clear word on how to name it. */
function binary(): string {
  const path = process.env['YELLOWLINE_BIN']
  if (!path) throw new Error('YELLOWLINE_BIN names no binary: run ./test, or build one and set it')
  return path
}

/** Starts a server; `args` are added to `serve`, `environment` to its settings. */
export async function startServer(
  files: Files = {},
  args: string[] = [],
  key = '',
  environment: Record<string, string> = {},
): Promise<Server> {
  const data = await mkdtemp(join(tmpdir(), 'yellowline-e2e-'))
  for (const [name, content] of Object.entries(files)) {
    await mkdir(join(data, name, '..'), { recursive: true })
    await writeFile(join(data, name), content)
  }
  const child = spawn(binary(), ['serve', '--data', data, '--listen', '127.0.0.1:0', ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...environment },
  })
  let output = ''
  const collect = (chunk: Buffer) => (output += chunk.toString())
  child.stdout.on('data', collect)
  child.stderr.on('data', collect)
  const url = await listening(child, () => output)
  await ready(url)
  return {
    url,
    output: () => output,
    api: (path, init) => ask(url, path, init, key),
    stop: async () => {
      await stop(child)
      await rm(data, { recursive: true, force: true })
    },
  }
}

function listening(child: ChildProcess, output: () => string): Promise<string> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => fail('said nothing of listening'), READY_MS)
    const fail = (what: string) => {
      clearTimeout(timer)
      reject(new Error(`yellowline serve ${what}:\n${output()}`))
    }
    const look = () => {
      const found = /listening on (http:\/\/\S+)/.exec(output())
      if (!found) return
      clearTimeout(timer)
      resolve(found[1]!.replace(/\/+$/, ''))
    }
    child.stdout?.on('data', look)
    child.stderr?.on('data', look)
    child.once('error', (error) => fail(`did not start: ${error.message}`))
    child.once('exit', (code) => fail(`ended with ${code}`))
  })
}

async function ready(url: string): Promise<void> {
  await until(async () => (await fetch(`${url}/readyz`)).ok, 'the server to be ready', READY_MS)
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  child.kill('SIGTERM')
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS)
  await ended
  clearTimeout(timer)
}

async function ask<T>(
  url: string,
  path: string,
  init: { body?: unknown; contentType?: string } | undefined,
  key: string,
): Promise<T> {
  const { body, contentType = 'application/json' } = init ?? {}
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  const response = await fetch(`${url}/api/v1${path}`, {
    method: body === undefined ? 'GET' : 'POST',
    headers: {
      ...(body === undefined ? {} : { 'content-type': contentType }),
      ...(key === '' ? {} : { authorization: `Bearer ${key}` }),
    },
    body: body === undefined ? null : text,
  })
  const answer = await response.text()
  if (!response.ok) throw new Error(`${path} answered ${response.status}: ${answer.slice(0, 500)}`)
  return (answer === '' ? undefined : JSON.parse(answer)) as T
}

/** Asks again until it is so; throws with what was waited for when the time is over. */
export async function until(
  test: () => Promise<boolean>,
  what: string,
  withinMs: number,
): Promise<void> {
  const deadline = Date.now() + withinMs
  for (;;) {
    if (await test().catch(() => false)) return
    if (Date.now() > deadline) throw new Error(`waited ${withinMs} ms for ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}
