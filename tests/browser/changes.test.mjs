// Changes beside posts: both are seen, either can be had alone, and a flood of the one does not drown the other.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { account, change, event, faults, look, mixture, post, rows, still } from './page.mjs'

const MOST_ROWS = 200
const MOST_NODES = 20 // of one row, more or less: what is drawn for 200 rows stays within a few thousand
const RATE = 40 // changes/s
const SECONDS = 12

const changeOf = (page, text) => page.locator('article.change', { hasText: text })
const postOf = (page, text) => page.locator('article.post', { hasText: text })

/** Of what kinds the rows are, gaps left out. */
const kinds = (page) => page.evaluate(() => {
  const rows = [...document.querySelectorAll('#feed article:not(.gap, .divider)')]
  return [...new Set(rows.map(({ classList }) => classList[1]))].sort()
})

async function shown(page, expected) {
  await page.waitForFunction((wanted) => {
    const rows = [...document.querySelectorAll('#feed article:not(.gap, .divider)')]
    return [...new Set(rows.map(({ classList }) => classList[1]))].sort().join() === wanted
  }, expected.join())
  assert.deepEqual(await kinds(page), expected)
}

test('posts and changes are shown together, and many changes of one place in one row that opens', () =>
  look(async (page, relay) => {
    await rows(page, 3)
    await still(page, relay, mixture())
    await shown(page, ['change', 'post'])
    const wiki = changeOf(page, 'en.wikipedia.org')
    assert.match(await wiki.getAttribute('aria-label'), /^Moho: edit Kākāpō en\.wikipedia\.org and 2 more$/)
    const link = wiki.locator('.title a').first()
    assert.deepEqual(
      [await link.getAttribute('href'), await link.getAttribute('target'), await link.getAttribute('rel')],
      ['https://en.wikipedia.org/wiki/K%C4%81k%C4%81p%C5%8D', '_blank', 'noopener noreferrer nofollow ugc'],
    )
    assert.equal(await wiki.locator('.summary').getAttribute('dir'), 'auto')
    assert.ok((await wiki.boundingBox()).height < (await postOf(page, 'The ferry is late').boundingBox()).height)
    await wiki.getByRole('button', { name: '2 more' }).click()
    assert.deepEqual(await wiki.locator('.others .title').allTextContents(), ['Ōkārito', 'List of flightless birds'])
    await wiki.getByRole('button', { name: 'fewer' }).click()
    await wiki.locator('.others').waitFor({ state: 'detached' })
    const { sent, shown: seen, held, lost, ...rest } = await account(page)
    assert.equal(sent, seen + rest['not-shown'] + held + lost)
    assert.deepEqual(await faults(page), [])
  }, { tapped: true }))

test('the reader can have only posts, only changes, one source or one place', () =>
  look(async (page, relay) => {
    await rows(page, 3)
    const box = page.locator('input[name=text]')
    assert.equal(await page.locator('select[name=kind]').count(), 0)
    await still(page, relay, mixture())
    await page.selectOption('select[name=kind]', 'change')
    await shown(page, ['change'])
    assert.match(page.url(), /#\/\?show=change$/)
    await page.getByRole('button', { name: 'only changes' }).click()
    await shown(page, ['change', 'post'])
    for (const [text, expected] of [['is:post', ['post']], ['is:change', ['change']], ['from:github', ['change']], ['is:post from:wiki', []]]) {
      await box.fill(text)
      await shown(page, expected)
    }
    await box.fill('')
    await page.selectOption('select[name=source]', 'wiki')
    await page.waitForFunction(() => [...document.querySelectorAll('article.change .source, article.post .source')].every((source) => source.textContent === 'wiki'))
    assert.equal(await page.locator('article.change').count(), 3)
    await page.selectOption('select[name=source]', '')
    await page.locator('article.change a.scope', { hasText: 'twisted/twisted' }).click()
    await page.waitForFunction(() => document.querySelector('input[name=text]').value === 'in:twisted/twisted')
    await page.waitForFunction(() => document.querySelectorAll('article.change').length === 1)
    assert.deepEqual(await kinds(page), ['change'])
    await box.fill('in:en.wikipedia.org weka')
    await page.waitForFunction(() => document.querySelector('article.change')?.getAttribute('aria-label') === 'Moho: edit Kākāpō en.wikipedia.org and 1 more')
    await page.click('.pause') // the list of sources stands still, too
    await page.locator('.sources a', { hasText: 'news' }).click()
    await changeOf(page, 'Harbour board').waitFor()
    await page.waitForFunction(() => document.querySelector('select[name=source]').value === 'news')
  }, { tapped: true }))

test('a shared address shows only what it says', () =>
  look(async (page, relay) => {
    relay.events(...mixture())
    await changeOf(page, 'Kākāpō').first().waitFor()
    await shown(page, ['change'])
    assert.equal(await page.inputValue('select[name=kind]'), 'change')
  }, { tapped: true, at: '#/?show=change', waits: false }))

test('changes wait while the page is paused, are counted, come once, and gaps are shown among them', () =>
  look(async (page, relay) => {
    await rows(page, 3)
    await page.click('.pause')
    await page.waitForSelector('.status[data-tone="held"]')
    const one = change('wiki', { scope: 'x', title: 'Held back' })
    const time = new Date().toISOString()
    relay.events(one, one, event('gap', 'gap.wiki', { from: time, to: time, cause: 'restart', filled: false }, 'wiki'))
    relay.events(post('h1', { text: 'Held back, too' }), one)
    await page.waitForFunction(() => /\d new/.test(document.querySelector('.pill')?.textContent ?? ''))
    assert.equal(await changeOf(page, 'Held back').count(), 0)
    await page.click('.pause')
    await changeOf(page, 'Held back').waitFor()
    await page.click('.pause')
    assert.equal(await changeOf(page, 'Held back').count(), 1)
    assert.equal(await changeOf(page, 'Held back').locator('button').count(), 0)
    assert.equal(await postOf(page, 'Held back, too').count(), 1)
    assert.equal(await page.locator('article.divider', { hasText: 'we were away' }).count(), 1)
  }, { tapped: true }))

for (const calm of [true, false]) {
  test(`${RATE} changes a second ${calm ? 'in a calm flow' : 'where the reader wants everything'} drown no posts, and the page stays as large as it is`, () =>
    look(async (page, relay) => {
      await rows(page, 3)
      const size = () => page.evaluate(() => ({
        rows: document.querySelectorAll('#feed article').length,
        nodes: document.querySelectorAll('#feed *').length,
        posts: document.querySelectorAll('article.post').length,
        changes: document.querySelectorAll('article.change').length,
      }))
      let n = 0
      const seen = []
      for (let tick = 0; tick < SECONDS * 4; tick++) {
        // Half of it in three wikis, half each in a place of its own.
        relay.events(...Array.from({ length: RATE / 4 }, () => {
          const scope = ++n % 2 ? `wiki-${n % 3}` : `octo/repo-${n}`
          return change(n % 2 ? 'wiki' : 'github', { scope, title: `Page ${n}`, url: 'https://wiki.example/', actor: { id: '1', handle: 'moho' }, summary: 'typo' })
        }))
        await page.waitForTimeout(250)
        if (tick % 4 === 3) seen.push(await size())
      }
      const last = seen.at(-1)
      assert.ok(last.changes > 5 && last.posts > 5, JSON.stringify(seen))
      assert.ok(last.posts >= Math.min(last.changes, MOST_ROWS / 2) - 20, `posts were drowned: ${JSON.stringify(seen)}`)
      for (const { rows: all, nodes } of seen) {
        assert.ok(all <= MOST_ROWS, `${all} rows`)
        assert.ok(nodes <= MOST_ROWS * MOST_NODES, `${nodes} nodes`)
      }
      const { sent, shown: shownOf, held, lost, ...rest } = await account(page)
      assert.equal(sent, shownOf + rest['not-shown'] + held + lost)
      assert.ok(sent >= n)
    }, { tapped: true, calm }))
}
