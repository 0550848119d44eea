import { recall, remember } from '../app/memory'

const NAME = 'actor'

/** The name a person gave last: actions are recorded with it. */
export const lastActor = (): string => recall(NAME, '')

/** Keeps the name for the next action. */
export const keepActor = (actor: string): void => remember(NAME, actor.trim())
