import { useMutation } from '@tanstack/react-query'
import { FileDown } from 'lucide-react'
import { caseMarkdown, type Alert } from '../api/alerts'
import { Button } from '../controls/button'
import { say } from '../controls/toast'

/** Saves the incident as a case: timeline, picture, evidence, decisions, links. */
export function ExportButton({ alert }: { alert: Alert }) {
  const save = useMutation({
    mutationFn: () => caseMarkdown(alert.id),
    onSuccess: (text) => {
      const link = document.createElement('a')
      link.href = URL.createObjectURL(new Blob([text], { type: 'text/markdown' }))
      link.download = `${alert.id}.md`
      link.click()
      URL.revokeObjectURL(link.href)
    },
    onError: (error) => say(error.message, 'danger'),
  })
  return (
    <Button
      tone="quiet"
      className="is-icon"
      aria-label="Export the case"
      title="Export the case: timeline, picture, evidence, decisions"
      disabled={save.isPending}
      onClick={() => save.mutate()}
    >
      <FileDown size={16} aria-hidden="true" />
    </Button>
  )
}
