// What the page says about itself: one chip in the header, and a notice where something needs the reader.

import type { State } from '../client/client.d.ts'
import type { Cause } from './hold.ts'
import { words } from './words.ts'

export type Tone = 'wait' | 'live' | 'held' | 'slow' | 'lost' | 'ended'

export interface Status {
  readonly tone: Tone
  readonly label: string
  readonly detail: string
}

export interface Notice {
  readonly text: string
  readonly action?: 'retry' | 'reload'
}

export interface Facts {
  readonly state: State
  readonly hold: Cause | undefined
  readonly behindMs: number | undefined
  readonly now: number
}

const SPINNER_AFTER_MS = 500 // shorter waits are not worth a word
export const LAGGING_MS = 5_000

export function status({ state, hold, behindMs, now }: Facts): Status {
  switch (state.name) {
    case 'connecting':
      return { tone: 'wait', label: now - state.since < SPINNER_AFTER_MS ? '' : words.connecting, detail: '' }
    case 'catching-up':
      return { tone: 'wait', label: words.catchingUp, detail: '' }
    case 'stalled':
      return { tone: 'slow', label: words.stalled, detail: '' }
    case 'offline':
      return { tone: 'lost', label: words.offline, detail: words.since(state.since) }
    case 'closed':
      return { tone: 'ended', label: words.ended, detail: '' }
    case 'live':
  }
  const behind = behindMs === undefined ? '' : words.behind(behindMs)
  if (hold === 'paused') return { tone: 'held', label: words.paused, detail: '' }
  if (hold !== undefined && hold !== 'hidden') return { tone: 'held', label: words.held, detail: words.holdCause[hold] }
  if (behindMs !== undefined && behindMs > LAGGING_MS) return { tone: 'slow', label: words.lagging, detail: behind }
  return { tone: 'live', label: words.live, detail: behind }
}

export function notice({ state, now }: Facts): Notice | undefined {
  if (state.name === 'closed') return { text: words.closed(state.cause ?? ''), action: 'reload' }
  const waits = state.retryAt !== undefined && state.retryAt > now
  if (state.name === 'offline') {
    const text = words.offlineSince(state.since, state.cause ?? '', waits ? (state.retryAt as number) - now : 0)
    return waits ? { text, action: 'retry' } : { text }
  }
  if (state.name === 'stalled' && waits) {
    return { text: words.silent((state.retryAt as number) - now), action: 'retry' }
  }
  return undefined
}
