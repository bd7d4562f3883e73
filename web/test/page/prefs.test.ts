import { afterEach, describe, expect, it, vi } from 'vitest'
import { Prefs } from '../../src/page/prefs.ts'

afterEach(() => {
  vi.restoreAllMocks()
  localStorage.clear()
  sessionStorage.clear()
})

function choose(prefs: Prefs): void {
  prefs.nextTheme()
  prefs.flow = 'slow'
  prefs.keyboard = false
  prefs.paused = true
}

const choices = ({ theme, flow, keyboard, paused }: Prefs) => ({ theme, flow, keyboard, paused })
const CHOSEN = { theme: 'light', flow: 'slow', keyboard: false, paused: true }

describe('the choices', () => {
  it('are kept in the browser', () => {
    choose(new Prefs())
    expect(choices(new Prefs())).toEqual(CHOSEN)
    sessionStorage.clear()
    expect(new Prefs().paused).toBe(false)
  })

  it('hold for the page’s life where the browser forbids storage', () => {
    for (const name of ['localStorage', 'sessionStorage'] as const) {
      vi.spyOn(globalThis, name, 'get').mockImplementation(() => {
        throw new DOMException('denied', 'SecurityError')
      })
    }
    const prefs = new Prefs()
    expect(choices(prefs)).toEqual({ theme: 'auto', flow: 'calm', keyboard: true, paused: false })
    choose(prefs)
    expect(choices(prefs)).toEqual(CHOSEN)
    expect(prefs.nextTheme()).toBe('dark')
  })

  it('hold where storage is full', () => {
    vi.spyOn(Storage.prototype, 'setItem').mockImplementation(() => {
      throw new DOMException('full', 'QuotaExceededError')
    })
    const prefs = new Prefs()
    choose(prefs)
    expect(choices(prefs)).toEqual(CHOSEN)
  })
})
