import { describe, expect, it } from 'vitest'
import { matches } from '../../src/client/index.ts'
import { Seen } from '../../src/client/seen.ts'
import { verdict } from '../../src/client/closing.ts'

/** The definition, word for word, slow. */
function slow(pattern: readonly string[], words: readonly string[]): boolean {
  const [first, ...rest] = pattern
  if (first === undefined) return words.length === 0
  if (first === '#') return Array.from({ length: words.length + 1 }, (_, n) => n).some((n) => slow(rest, words.slice(n)))
  return words.length > 0 && (first === '*' || first === words[0]) && slow(rest, words.slice(1))
}

describe('topic patterns', () => {
  it.each([
    ['post.#', 'post', true],
    ['post.#', 'post.x.en', true],
    ['post.*', 'post', false],
    ['post.*', 'post.x', true],
    ['post.*.*.*.#.python.#', 'post.x.en.jack.a.python.b', true],
    ['post.*.*.*.#.python.#', 'post.x.en.python', false],
    ['#', 'a.b.c', true],
    ['*.#.*', 'a', false],
    ['post', 'posts', false],
  ])('%s and %s: %s', (pattern, topic, expected) => expect(matches(pattern, topic)).toBe(expected))

  it('agree with the definition for every short pattern and topic', () => {
    const all = (words: readonly string[], longest: number): string[][] =>
      longest === 0 ? [[]] : [...all(words, longest - 1), ...all(words, longest - 1).filter((w) => w.length === longest - 1).flatMap((w) => words.map((x) => [...w, x]))]
    for (const pattern of all(['a', '*', '#'], 4).filter((p) => p.length)) {
      for (const topic of all(['a', 'b'], 4).filter((t) => t.length)) {
        expect([pattern, topic, matches(pattern.join('.'), topic.join('.'))]).toEqual([pattern, topic, slow(pattern, topic)])
      }
    }
  })
})

describe('ids seen', () => {
  it('are remembered up to a limit, the oldest forgotten first', () => {
    const seen = new Seen()
    for (let n = 0; n < 5000; n++) expect(seen.add('s', String(n))).toBe(true)
    expect(seen.size).toBe(4096)
    expect(seen.add('s', '4999')).toBe(false)
    expect(seen.add('s', '0')).toBe(true)
  })
})

describe('close codes', () => {
  it.each([
    [1006, 'retry'], [1000, 'retry'], [1012, 'restart'], [1009, 'final'], [4000, 'final'], [4001, 'token'], [4009, 'final'],
    [4099, 'final'], [4108, 'slow'], [4129, 'slow'], [4200, 'restart'],
  ])('%i means %s', (code, expected) => expect(verdict(code)).toBe(expected))
})
