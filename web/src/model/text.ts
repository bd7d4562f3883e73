// A post's text as pieces that a view can show safely: plain strings, and facets whose targets were checked.

const NAME_CONTROLS = /[\u0000-\u001f\u007f-\u009f\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069\ufeff]/g
const BODY_CONTROLS = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g
const MOST_CHARACTERS = 5_000 // code points of one text; what is longer is cut, with an ellipsis

export type PieceKind = 'text' | 'link' | 'tag' | 'mention'

export interface Piece {
  readonly kind: PieceKind
  readonly text: string
  /** For a link its checked address, for a tag or mention what to filter by. */
  readonly target: string
  /** The host a link really leads to, where its text does not say so. */
  readonly host?: string
}

export interface Facet {
  readonly start: number
  readonly end: number
  readonly kind: string
  readonly value: string
}

/** A name or handle without the characters that could make it, or what stands beside it, read differently. */
export function cleanName(name: string): string {
  return straight(name).replace(/\s+/g, ' ').trim()
}

function straight(text: string): string {
  return text.replace(NAME_CONTROLS, '')
}

/** The address, if a browser may be sent there. */
export function safeUrl(address: unknown): URL | undefined {
  if (typeof address !== 'string') return undefined
  try {
    const url = new URL(address)
    return url.protocol === 'https:' || url.protocol === 'http:' ? url : undefined
  } catch {
    return undefined
  }
}

/** Cut to so many code points, with an ellipsis where something is left out. */
export function cut(text: string, most: number): string {
  if (text.length <= most) return text
  // Twice as many units hold at least that many code points: a text without end is not taken apart as a whole.
  const points = Array.from(text.slice(0, 2 * most + 2))
  return points.length > most ? `${points.slice(0, most).join('')}…` : text
}

/** Cuts `text` at its facets; offsets count code points. Facets that overlap or point nowhere are left out. */
export function pieces(text: string, facets: readonly Facet[]): Piece[] {
  const all = Array.from(text)
  const points = all.length > MOST_CHARACTERS ? [...all.slice(0, MOST_CHARACTERS), '…'] : all
  const out: Piece[] = []
  let at = 0
  for (const facet of facets.filter(sound).sort((a, b) => a.start - b.start)) {
    if (facet.start < at || facet.end > points.length) continue
    const piece = faceted(points.slice(facet.start, facet.end).join(''), facet)
    if (!piece) continue
    if (facet.start > at) out.push(plain(points.slice(at, facet.start).join('')))
    out.push(piece)
    at = facet.end
  }
  if (at < points.length) out.push(plain(points.slice(at).join('')))
  return out
}

function sound(facet: Facet | null): boolean {
  if (!facet) return false
  const { start, end, value } = facet
  return Number.isInteger(start) && Number.isInteger(end) && start >= 0 && end > start && typeof value === 'string'
}

function faceted(text: string, { kind, value }: Facet): Piece | undefined {
  if (kind === 'link') {
    const url = safeUrl(value)
    if (!url) return undefined
    const host = hostOf(url)
    const tells = hostIn(straight(text)) === host
    return { kind, text: straight(text), target: url.href, ...(tells ? {} : { host }) }
  }
  if (kind === 'tag' || kind === 'cashtag') {
    return { kind: 'tag', text: straight(text), target: (kind === 'tag' ? '#' : '$') + value.replace(/^[#$]/, '') }
  }
  if (kind === 'mention') return { kind, text: straight(text), target: `@${value.replace(/^@/, '')}` }
  return undefined
}

function hostOf(url: URL): string {
  return url.hostname.replace(/^www\./, '')
}

/** The host that `url` leads to, where a title looks like the address of another one; else empty. */
export function foreignHost(title: string, url: URL): string {
  const said = hostIn(title)
  return /^([^\s.]+\.)+(\p{L}{2,}|xn--[^\s.]+)$/u.test(said) && said !== hostOf(url) ? hostOf(url) : ''
}

/** The host that a link's text begins with, letter for letter: what a reader takes for the place it leads to. */
function hostIn(text: string): string {
  const address = text.trim().toLowerCase().replace(/^https?:\/\//, '').replace(/^www\./, '')
  return address.split(/[/?#:\\]/, 1)[0] as string
}

function plain(text: string): Piece {
  return { kind: 'text', text: bodyText(text).replace(/\n{3,}/g, '\n\n'), target: '' }
}

/** A text without control characters. What turns directions around stays: it does no harm within a block of its own. */
export function bodyText(text: string): string {
  return text.replace(BODY_CONTROLS, '')
}
