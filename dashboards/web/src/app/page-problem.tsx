import { Link, useRouter, type ErrorComponentProps } from '@tanstack/react-router'
import { ApiError } from '../api/client'
import { Button } from '../controls/button'

/** Shown in place of a page that failed: the reason, and the one next step. */
export function PageProblem({ error }: ErrorComponentProps) {
  const router = useRouter()
  const notFound = error instanceof ApiError && error.status === 404
  return (
    <div className="page-message" role="alert">
      <h2>{notFound ? 'Not found' : 'This page could not be shown'}</h2>
      <p>{error instanceof Error ? error.message : String(error)}</p>
      {error instanceof ApiError && error.requestId !== '' && (
        <p className="muted">
          Request <code>{error.requestId}</code>
        </p>
      )}
      <Button onClick={() => void router.invalidate()}>Try again</Button>
    </div>
  )
}

/** An address the console does not know. */
export function NotFound() {
  return (
    <div className="page-message">
      <h2>No such page</h2>
      <p>The address leads nowhere in this build of the console.</p>
      <Link to="/" className="button">
        All metrics
      </Link>
    </div>
  )
}
