import { defineConfig } from 'vitest/config'

/** Each test starts a real server and a real browser: one file after the other, with room for a slow machine. */
export default defineConfig({
  test: {
    include: ['e2e/**/*.test.ts'],
    environment: 'node',
    fileParallelism: false,
    testTimeout: 180_000,
    hookTimeout: 180_000,
  },
})
