// Every word the page says, in one place; numbers, times and country names come from Intl.

const numbers = new Intl.NumberFormat()
const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit' })
const shortClock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' })
const full = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium' })
const countries = new Intl.DisplayNames(undefined, { type: 'region' })
const languages = new Intl.DisplayNames(undefined, { type: 'language' })

/** The name of a code, or the code: `of` throws for what merely looks like one, such as en-ab-cd. */
function called(names: Intl.DisplayNames, code: string): string {
  try {
    return names.of(code) ?? code
  } catch {
    return code
  }
}

const day = new Intl.DateTimeFormat(undefined, { dateStyle: 'short' })
const dated = new Intl.DateTimeFormat(undefined, { dateStyle: 'short', timeStyle: 'short' })

/** Why a source's stream has a gap, for readers; see `cause` in the description of `streamer.gap`. */
const gapCauses: Readonly<Record<string, string>> = {
  network: 'connection lost',
  http: 'the source had an error',
  'rate-limit': 'the source asked us to wait',
  'connection-limit': 'the source allowed no further connection',
  'usage-cap': 'the source’s quota was used up',
  authorisation: 'the source refused our access',
  refused: 'the source refused the request',
  'no-rules': 'nothing was asked for',
  disconnect: 'the source hung up',
  slow: 'we read too slowly',
  stall: 'connection stalled',
  unexpected: 'a fault of ours',
  limit: 'more than the source gives out',
  renewal: 'the connection was renewed',
  restart: 'we were away',
  overflow: 'more came than the source shows',
  'sent-away': 'callers were asked to come again',
  shed: 'more than we could keep',
  spool: 'what we had stored was damaged',
  stopped: 'it was switched off',
  gone: 'the source is gone for good',
  finished: 'it had come to its end',
}

const seconds = (ms: number): string => `${Math.max(1, Math.ceil(ms / 1000))} s`

export const words = {
  count: (n: number) => numbers.format(n),
  time: (at: number) => full.format(at),

  connecting: 'Connecting…',
  catchingUp: 'Catching up…',
  live: 'Live',
  paused: 'Paused',
  held: 'Held',
  lagging: 'Behind',
  stalled: 'No data',
  offline: 'Offline',
  ended: 'Disconnected',
  behind: (ms: number) => {
    const s = ms / 1000
    return `${s < 9.95 ? Math.max(0.1, s).toFixed(1) : numbers.format(Math.round(s))} s behind`
  },
  since: (at: number) => `since ${shortClock.format(at)}`,
  holdCause: {
    paused: '',
    scrolled: 'you scrolled down',
    focus: 'you’re reading',
    selection: 'text is selected',
    hidden: '',
  },
  offlineSince: (at: number, cause: string, waitMs: number) =>
    `Offline since ${shortClock.format(at)}${cause ? `: ${cause}` : ''}. ${waitMs > 0 ? `Next try in ${seconds(waitMs)}.` : 'Trying now…'}`,
  silent: (waitMs: number) => `The connection went silent. Reconnecting in ${seconds(waitMs)}.`,
  closed: (cause: string) => `No longer connected: ${cause}.`,
  retryNow: 'Try now',
  reload: 'Reload',

  pause: 'Pause',
  resume: 'Resume',
  fresh: (n: number) => `${numbers.format(n)} new`,
  show: 'show',
  flow: 'Flow',
  flows: { all: 'Everything', calm: 'Calm, 2 a second', slow: 'Slow, 1 in 3 seconds' },
  source: 'Source',
  language: 'Language',
  kind: 'Show',
  kinds: { '': 'posts and changes', post: 'only posts', change: 'only changes' },
  any: 'any',
  filter: 'Filter',
  controls: 'More controls',
  filterHint: 'word, #tag, @name or in:place',
  filterWords: [
    ['#tag  @name', 'posts with that tag, by that author'],
    ['in:place', 'changes of that wiki, repository or feed'],
    ['from:source', 'what that source sent'],
    ['is:post  is:change', 'only the one or the other'],
  ],
  theme: { auto: 'Theme: as the device', light: 'Theme: light', dark: 'Theme: dark' },
  keyboard: 'Keyboard shortcuts',

  feed: 'Feed',
  waiting: 'Waiting for the first event…',
  noneMatch: 'Nothing that arrived matches the filter yet.',
  unfilter: 'stop filtering',
  replies: 'reply',
  sensitive: 'This post was marked as sensitive.',
  reveal: 'Show it',
  more: 'Show all of it',
  media: (n: number) => (n === 1 ? '1 attachment' : `${numbers.format(n)} attachments`),
  postBy: (name: string) => `Post by ${name}`,
  openPost: 'open the post',
  changeBy: (actor: string, what: string, more: number) =>
    [actor && `${actor}:`, what, more > 0 && `and ${words.others(more)}`].filter(Boolean).join(' '),
  others: (n: number) => `${numbers.format(n)} more`,
  fewer: 'fewer',
  /** The day is left out where it is today; seconds matter only within a minute. */
  gapSpan: (from: number, to: number, now: number) => {
    const [first, last] = from < to ? [from, to] : [to, from]
    const today = day.format(first) === day.format(now) && day.format(last) === day.format(now)
    return (!today ? dated : last - first < 60_000 ? clock : shortClock).formatRange(first, last)
  },
  someMissed: 'Some events were missed',
  missed: (count: number | undefined, filled: boolean) =>
    filled ? 'missed at first, fetched since' : count === undefined ? 'missed' : `${numbers.format(count)} missed`,
  gapCause: (cause: string) => (Object.hasOwn(gapCauses, cause) ? (gapCauses[cause] as string) : cause.replaceAll(/[_-]/g, ' ')),
  gapIn: (source: string) => `Gap in ${source}`,

  world: 'World',
  exact: 'exact place',
  area: 'town or country, as wide as we know',
  mapSummary: (total: number, top: readonly { country: string; count: number }[]) =>
    total === 0
      ? 'World map, no places yet.'
      : `World map: ${numbers.format(total)} places in the last 10 minutes, most in ${top.map(({ country, count }) => `${words.country(country)} (${numbers.format(count)})`).join(', ')}.`,
  places: 'Places',
  placesWindow: 'last 10 minutes',
  noPlaces: 'No post with a place yet.',
  country: (code: string) => (code ? called(countries, code) : 'Sea or unknown'),
  languageName: (code: string) => called(languages, code),

  sources: 'Sources',
  sourcesAge: 'last event of each',
  sends: (posts: boolean, changes: boolean) => (posts && changes ? 'posts and changes' : changes ? 'changes' : 'posts'),
  lastCame: (ms: number) => (ms < 5_000 ? 'now' : `${ago(ms)} ago`),
  noSources: 'Nothing came yet.',

  perSecond: (rate: number) => `${rate < 10 ? rate.toFixed(1) : numbers.format(Math.round(rate))}/s`,
  rowsKept: (n: number) => `${numbers.format(n)} rows kept`,

  saidLive: 'Live',
  saidPaused: 'Paused',
  saidResumed: 'Resumed',
  saidMissed: (what: string) => what,
} as const

/** "now", "12 s", "3 min", "2 h", "4 d": how long ago. */
export function ago(ms: number): string {
  const s = Math.max(0, Math.round(ms / 1000))
  if (s < 5) return 'now'
  if (s < 60) return `${s - (s % 5)} s`
  if (s < 3600) return `${Math.floor(s / 60)} min`
  if (s < 86_400) return `${Math.floor(s / 3600)} h`
  return `${numbers.format(Math.floor(s / 86_400))} d`
}
