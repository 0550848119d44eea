import { useQuery } from '@tanstack/react-query'
import { servedBuild } from '../api/client'
import { Button } from '../controls/button'

const CHECK_MS = 60_000

/** The build this page is: written into it by the web build. */
const ownBuild = document.querySelector<HTMLMetaElement>('meta[name="yellowline-build"]')?.content

/** The server was replaced by one with another console: offers the new page instead of breaking later. */
export function NewVersion() {
  const { data } = useQuery({
    queryKey: ['served-build'],
    queryFn: servedBuild,
    refetchInterval: CHECK_MS,
    staleTime: CHECK_MS,
  })
  if (!data || !ownBuild || data === ownBuild || data === 'placeholder') return null
  return (
    <div className="notice" role="status">
      <span>The server has a newer console.</span>
      <Button onClick={() => window.location.reload()}>Reload</Button>
    </div>
  )
}
