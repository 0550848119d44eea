import {
  createRootRoute,
  createRoute,
  createRouter,
  lazyRouteComponent,
  redirect,
  retainSearchParams,
} from '@tanstack/react-router'
import { alertQuery } from '../api/alerts'
import { absolute } from '../time/range'
import { NotFound, PageProblem } from './page-problem'
import { queries } from './queries'
import { Shell } from './shell'
import {
  alertSearch,
  alertsSearch,
  exploreSearch,
  metricSearch,
  parseSearch,
  sharedSearch,
  stringifySearch,
} from './url-state'

/** Shown around an incident that is opened by its own address. */
const BEFORE_ONSET_MS = 90 * 60_000
const AFTER_END_MS = 30 * 60_000

const root = createRootRoute({
  component: Shell,
  notFoundComponent: NotFound,
  errorComponent: PageProblem,
  validateSearch: sharedSearch,
  search: { middlewares: [retainSearchParams(['from', 'to', 'tz'])] },
})

const metrics = createRoute({
  getParentRoute: () => root,
  path: '/',
  component: lazyRouteComponent(() => import('../metrics/metrics-page'), 'MetricsPage'),
})

const metric = createRoute({
  getParentRoute: () => root,
  path: '/metrics/$name',
  validateSearch: metricSearch,
  component: lazyRouteComponent(() => import('../metrics/metric-page'), 'MetricPage'),
})

const explore = createRoute({
  getParentRoute: () => root,
  path: '/explore',
  validateSearch: exploreSearch,
  component: lazyRouteComponent(() => import('../explore/explore-page'), 'ExplorePage'),
})

const alerts = createRoute({
  getParentRoute: () => root,
  path: '/alerts',
  validateSearch: alertsSearch,
  component: lazyRouteComponent(() => import('../incidents/alerts-page'), 'AlertsPage'),
})

/** The address a page carries: the metric with this alert; once it is over, with its own time. */
const alert = createRoute({
  getParentRoute: () => root,
  path: '/alerts/$id',
  validateSearch: alertSearch,
  loaderDeps: ({ search }) => ({ off: search.off }),
  loader: async ({ params, deps }) => {
    const found = await queries.fetchQuery(alertQuery(params.id))
    const endMs = found.resolved_at === null ? null : Date.parse(found.resolved_at) + AFTER_END_MS
    const range = endMs === null ? {} : absolute(Date.parse(found.onset) - BEFORE_ONSET_MS, endMs)
    throw redirect({
      to: '/metrics/$name',
      params: { name: found.metric },
      search: { ...range, alert: found.id, slice: found.slice ?? undefined, off: deps.off },
      replace: true,
    })
  },
})

/** All pages of the console. */
export const router = createRouter({
  routeTree: root.addChildren([metrics, metric, explore, alerts, alert]),
  parseSearch,
  stringifySearch,
  defaultPreload: 'intent',
  defaultPendingMs: 300,
})

declare module '@tanstack/react-router' {
  interface Register {
    router: typeof router
  }
}
