import { QueryClient } from '@tanstack/react-query'
import { ApiError } from '../api/client'

/** What was answered once stays on the screen while it is asked again; mistakes of the caller are not repeated. */
export const queries = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 1_000,
      refetchOnWindowFocus: true,
      retry: (failures, error) =>
        failures < 2 && error instanceof ApiError && (error.status === 0 || error.status >= 500),
      retryDelay: (failures) => 500 * 2 ** failures,
    },
  },
})
