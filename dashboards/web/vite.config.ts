import { readFile, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { constants, gzip } from 'node:zlib'
import { promisify } from 'node:util'
import react from '@vitejs/plugin-react'
import { defineConfig, type Plugin } from 'vite'

/** `npm run dev` asks this server; it takes requests only from its own origin. */
const SERVER = process.env['YELLOWLINE_URL'] ?? 'http://127.0.0.1:7300'

/** Smaller files are not worth a second copy. */
const GZIP_BYTES_MIN = 1024
const TEXT = /\.(html|js|css|svg|json|txt)$/

/** Writes `<file>.gz` beside each text file: the binary serves it as it is. */
function gzipTwins(): Plugin {
  return {
    name: 'gzip-twins',
    apply: 'build',
    async writeBundle({ dir }) {
      if (!dir) return
      const entries = await readdir(dir, { recursive: true, withFileTypes: true })
      for (const entry of entries) {
        if (!entry.isFile() || !TEXT.test(entry.name)) continue
        const path = join(entry.parentPath, entry.name)
        const content = await readFile(path)
        if (content.length < GZIP_BYTES_MIN) continue
        const packed = await promisify(gzip)(content, { level: constants.Z_BEST_COMPRESSION })
        await writeFile(`${path}.gz`, packed)
      }
    },
  }
}

/** The server reads this id from the page, sends it with every answer, and the page compares the two. */
function buildId(): Plugin {
  const id = process.env['YELLOWLINE_CONSOLE_BUILD_ID'] ?? 'development'
  return {
    name: 'build-id',
    transformIndexHtml: () => [
      { tag: 'meta', attrs: { name: 'yellowline-build', content: id }, injectTo: 'head-prepend' },
    ],
  }
}

export default defineConfig({
  plugins: [react(), buildId(), gzipTwins()],
  build: {
    target: 'es2023',
    sourcemap: false,
    reportCompressedSize: false,
    // Fonts and pictures stay files: the page may not load data: fonts.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  server: {
    proxy: { '/api': { target: SERVER, changeOrigin: true, headers: { origin: SERVER } } },
  },
  test: { include: ['test/**/*.test.ts'], environment: 'node' },
} as Parameters<typeof defineConfig>[0])
