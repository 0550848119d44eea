import { useMutation, useQueryClient } from '@tanstack/react-query'
import { ThumbsDown, ThumbsUp } from 'lucide-react'
import { giveFeedback, verdictOf, type Alert } from '../api/alerts'
import { Button } from '../controls/button'
import { say } from '../controls/toast'
import { lastActor } from './actor'

/** Was it a true alert? One press; pressing the other one changes it. */
export function Feedback({ alert }: { alert: Alert }) {
  const queries = useQueryClient()
  const verdict = verdictOf(alert)
  const give = useMutation({
    mutationFn: (next: 'true' | 'false') => giveFeedback(alert.id, next, lastActor() || 'console'),
    onSuccess: (_, next) =>
      say(next === 'true' ? 'Marked as a true alert' : 'Marked as a false alert'),
    onError: (error) => say(error.message, 'danger'),
    onSettled: () => {
      void queries.invalidateQueries({ queryKey: ['alerts'] })
      void queries.invalidateQueries({ queryKey: ['alert'] })
    },
  })
  return (
    <div className="feedback" role="group" aria-label="Was it a true alert?">
      <Button
        aria-pressed={verdict === 'true'}
        disabled={give.isPending}
        onClick={() => give.mutate('true')}
      >
        <ThumbsUp size={14} aria-hidden="true" /> True
      </Button>
      <Button
        aria-pressed={verdict === 'false'}
        disabled={give.isPending}
        onClick={() => give.mutate('false')}
      >
        <ThumbsDown size={14} aria-hidden="true" /> False
      </Button>
    </div>
  )
}
