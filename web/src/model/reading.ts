// Reads what may be of any type: nothing here throws, and what is not as it should be counts as absent.

export type Dict = Readonly<Record<string, unknown>>

export function dict(value: unknown): Dict {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Dict) : {}
}

export function list(value: unknown): unknown[] {
  return Array.isArray(value) ? value : []
}

export function string(value: unknown): string {
  return typeof value === 'string' ? value : typeof value === 'number' ? String(value) : ''
}

const FURTHEST_MS = 8.64e15 // from the epoch, either way; a Date beyond is invalid, and throws when it is shown

/** RFC 3339 or ms since the epoch, to ms since the epoch. */
export function time(value: unknown): number | undefined {
  const ms = typeof value === 'number' ? value : Date.parse(string(value))
  return Math.abs(ms) <= FURTHEST_MS ? ms : undefined
}
