// Single-letter shortcuts. They can be switched off (WCAG 2.1.4), and each has a visible control as well.

export interface Actions {
  pause(): void
  show(): void
  step(by: 1 | -1): void
  filter(): void
  help(): void
  leave(to: 'before' | 'after' | 'out'): void
}

export const KEYS: readonly (readonly [keys: string, does: string])[] = [
  ['p', 'pause, resume'],
  ['.', 'show what is new'],
  ['j  k', 'next, previous post or change'],
  ['Page Down  Page Up', 'the same, inside the feed'],
  ['/', 'filter'],
  ['Ctrl+End  Ctrl+Home', 'leave the feed, forwards or backwards'],
  ['Esc', 'stop reading: let the feed go on'],
  ['?', 'this list'],
]

/** Acts on a key. Returns whether it meant something. */
export function press(event: KeyboardEvent, letters: boolean, actions: Actions): boolean {
  const target = event.target instanceof Element ? event.target : undefined
  if (target?.closest('dialog')) return false
  const inFeed = target?.closest('#feed') != null
  if (inFeed && feedKey(event, actions)) return true
  if (event.key === 'Escape' && target instanceof HTMLInputElement) return done(() => target.blur())
  if (!letters || event.ctrlKey || event.metaKey || event.altKey) return false
  if (target?.closest('input, select, textarea, [contenteditable]')) return false
  switch (event.key) {
    case 'p': return done(() => actions.pause())
    case '.': return done(() => actions.show())
    case 'j': return done(() => actions.step(1))
    case 'k': return done(() => actions.step(-1))
    case '/': return done(() => actions.filter())
    case '?': return done(() => actions.help())
  }
  return false
}

/** The keys that the feed pattern of the ARIA authoring practices asks for. */
function feedKey(event: KeyboardEvent, actions: Actions): boolean {
  if (event.key === 'Escape') return done(() => actions.leave('out'))
  if (event.key === 'PageDown') return done(() => actions.step(1))
  if (event.key === 'PageUp') return done(() => actions.step(-1))
  if (event.ctrlKey && event.key === 'End') return done(() => actions.leave('after'))
  if (event.ctrlKey && event.key === 'Home') return done(() => actions.leave('before'))
  return false
}

function done(act: () => void): true {
  act()
  return true
}
