import {
  acceptCompletion,
  autocompletion,
  closeBrackets,
  closeBracketsKeymap,
  completionKeymap,
  completionStatus,
  type Completion,
  type CompletionContext,
  type CompletionResult,
} from '@codemirror/autocomplete'
import { defaultKeymap, history, historyKeymap } from '@codemirror/commands'
import { sql } from '@codemirror/lang-sql'
import { bracketMatching, HighlightStyle, syntaxHighlighting } from '@codemirror/language'
import { lintGutter, setDiagnostics } from '@codemirror/lint'
import { EditorState, Prec } from '@codemirror/state'
import {
  drawSelection,
  EditorView,
  highlightActiveLine,
  keymap,
  lineNumbers,
  placeholder,
} from '@codemirror/view'
import { tags } from '@lezer/highlight'
import { useEffect, useImperativeHandle, useRef, type Ref } from 'react'
import { isSilent, wantedAt, type Option, type Wanted } from './completion'
import { dialect } from './dialect'

/** An error at its place in the text. */
export interface EditorProblem {
  offset: number
  message: string
}

/** What the page does to the editor. */
export interface EditorHandle {
  focus: () => void
  insert: (text: string) => void
}

interface Props {
  value: string
  problem: EditorProblem | null
  onChange: (text: string) => void
  onRun: () => void
  /** Esc; false when there was nothing to cancel. */
  onCancel: () => boolean
  options: (wanted: Wanted) => Promise<Option[]>
  handle: Ref<EditorHandle>
}

const highlight = HighlightStyle.define([
  { tag: [tags.keyword, tags.operatorKeyword], color: 'var(--code-keyword)', fontWeight: '600' },
  { tag: [tags.string, tags.special(tags.string)], color: 'var(--code-text)' },
  { tag: [tags.number, tags.bool, tags.null], color: 'var(--code-number)' },
  { tag: tags.comment, color: 'var(--text-muted)', fontStyle: 'italic' },
  { tag: [tags.typeName, tags.standard(tags.name)], color: 'var(--code-function)' },
  { tag: tags.special(tags.name), color: 'var(--code-variable)' },
])

/** The SQL editor: completion from the schema, errors in place, Ctrl Enter runs, Esc cancels. */
export default function Editor(props: Props) {
  const host = useRef<HTMLDivElement>(null)
  const view = useRef<EditorView | null>(null)
  const latest = useRef(props)
  latest.current = props

  useEffect(() => {
    const made = new EditorView({
      parent: host.current!,
      state: EditorState.create({
        doc: latest.current.value,
        extensions: extensions(() => latest.current),
      }),
    })
    view.current = made
    return () => made.destroy()
  }, [])

  useEffect(() => {
    const current = view.current
    if (!current || current.state.doc.toString() === props.value) return
    current.dispatch({
      changes: { from: 0, to: current.state.doc.length, insert: props.value },
      selection: { anchor: Math.min(current.state.selection.main.anchor, props.value.length) },
    })
  }, [props.value])

  useEffect(() => {
    const current = view.current
    if (!current) return
    const { problem } = props
    current.dispatch(
      setDiagnostics(current.state, problem === null ? [] : [diagnostic(current.state, problem)]),
    )
  }, [props.problem])

  useImperativeHandle(props.handle, () => ({
    focus: () => view.current?.focus(),
    insert: (text) => {
      const current = view.current
      if (!current) return
      current.dispatch(current.state.replaceSelection(text), { scrollIntoView: true })
      current.focus()
    },
  }))

  return <div ref={host} className="editor" />
}

function diagnostic(state: EditorState, problem: EditorProblem) {
  const from = Math.min(problem.offset, state.doc.length)
  const word = state.wordAt(from)
  const to = word ? word.to : Math.min(from + 1, state.doc.length)
  return {
    from: Math.min(word?.from ?? from, to),
    to,
    severity: 'error' as const,
    message: problem.message,
  }
}

function extensions(current: () => Props) {
  return [
    lineNumbers(),
    history(),
    drawSelection(),
    bracketMatching(),
    closeBrackets(),
    highlightActiveLine(),
    lintGutter(),
    sql({ dialect }),
    syntaxHighlighting(highlight),
    EditorView.lineWrapping,
    placeholder('select … from events'),
    EditorView.contentAttributes.of({ 'aria-label': 'SQL', spellcheck: 'false' }),
    autocompletion({
      override: [(context) => complete(context, current().options)],
      icons: false,
      maxRenderedOptions: 60,
    }),
    Prec.highest(
      keymap.of([
        { key: 'Mod-Enter', run: () => (current().onRun(), true) },
        { key: 'Shift-Enter', run: () => (current().onRun(), true) },
        { key: 'Tab', run: acceptCompletion },
        {
          key: 'Escape',
          run: (view) => completionStatus(view.state) === null && current().onCancel(),
        },
      ]),
    ),
    keymap.of([...closeBracketsKeymap, ...completionKeymap, ...historyKeymap, ...defaultKeymap]),
    EditorView.updateListener.of((update) => {
      if (update.docChanged) current().onChange(update.state.doc.toString())
    }),
  ]
}

async function complete(
  context: CompletionContext,
  options: Props['options'],
): Promise<CompletionResult | null> {
  const before = context.state.sliceDoc(0, context.pos)
  if (isSilent(before)) return null
  const wanted = wantedAt(before)
  const asked = wanted.kind === 'value' || wanted.kind === 'table' || wanted.prefix !== ''
  if (!asked && !context.explicit) return null
  const found = await options(wanted)
  if (context.aborted || found.length === 0) return null
  return {
    from: wanted.from,
    options: found.map((option) => completion(option, wanted)),
    // A value list is asked again with each letter: the server filters it.
    ...(wanted.kind === 'value' ? { filter: false } : { validFor: /^["\w.#$\u0080-\uffff]*$/ }),
  }
}

function completion(option: Option, wanted: Wanted): Completion {
  return {
    label: option.label,
    detail: option.detail,
    boost: option.boost,
    apply: (view, _completion, from, to) => {
      // The closing quote typed by the editor, or by the person, is part of what is replaced.
      const next = view.state.sliceDoc(to, to + 1)
      const closing =
        (wanted.kind === 'value' && next === "'") || (option.apply.endsWith('"') && next === '"')
      view.dispatch({
        changes: { from, to: closing ? to + 1 : to, insert: option.apply },
        selection: { anchor: from + option.apply.length },
        userEvent: 'input.complete',
      })
    },
  }
}
