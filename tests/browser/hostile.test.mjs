// Strangers write what they like; it stays text. `look` itself asserts: no dialog, no request elsewhere, no violation
// of the content security policy, nothing on the console.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { change, event, inject, look, post, rows } from './page.mjs'

const MARKUP = '<img src=x onerror="alert(1)"><script>alert(2)</script><svg onload=alert(3)><iframe src="https://evil.example/">'

/** The elements that strangers' texts may become. */
const kinds = (row) => row.evaluate((article) => [...new Set([...article.querySelectorAll('.text *')].map(({ localName }) => localName))].sort())

test('markup in a post that came all the way from upstream is shown as it was written', () =>
  look(async (page) => {
    await inject({ text: `Mind the gap ${MARKUP}` })
    const row = page.locator('article.post', { hasText: 'Mind the gap' })
    await row.waitFor()
    const text = await row.locator('.text').textContent()
    assert.ok(text.includes('<img src=x onerror="alert(1)">') && text.includes('<script>alert(2)</script>'), text)
    for (const kind of await kinds(row)) assert.ok(['a', 'bdi', 'span'].includes(kind), `a <${kind}> was made`)
    await page.waitForTimeout(500)
  }))

test('names, handles, facets and places cannot break out either', () =>
  look(async (page, relay) => {
    const facet = (value) => [{ start: 0, end: 5, kind: 'link', value }]
    relay.events(
      post('h1', {
        text: `click ${MARKUP}`, facets: facet('javascript:alert(4)'), url: 'javascript:alert(5)', lang: '"><b>', geo: { name: MARKUP },
        author: { id: '1', handle: 'evil\u202Egpj', name: `Old\u202E${MARKUP}\u2066`, url: 'data:text/html,<script>alert(6)</script>' },
      }),
      post('h2', { text: 'click here', facets: facet('https://evil.example/?a="onmouseover="alert(7)') }),
      post('h3', { text: `zalgo ${'Z\u0310\u0311\u0312\u0313\u0314\u0315'.repeat(300)} \u0000 \ud800 end` }),
      post('h4', { text: `huge ${'spam '.repeat(200_000)}` }),
    )
    const row = page.locator('article[data-key="test h1"]')
    await row.waitFor()
    assert.deepEqual(await kinds(row), [])
    assert.equal(await row.locator('a').count(), 0)
    const byline = await row.locator('.byline').textContent()
    assert.doesNotMatch(byline, /[\u202a-\u202e\u2066-\u2069]/)
    assert.match(byline, /@evilgpj/)
    const link = page.locator('article[data-key="test h2"] .text a')
    assert.equal(await link.getAttribute('rel'), 'noopener noreferrer nofollow ugc')
    assert.equal(await link.getAttribute('onmouseover'), null)
    assert.match(await page.textContent('article[data-key="test h2"] .text'), /click \(evil\.example\) here/)
    assert.ok((await page.locator('article[data-key="test h4"]').boundingBox()).height < 400)
    await page.waitForTimeout(500)
  }, { tapped: true }))

test('changes cannot break out, nor take more room than theirs', () =>
  look(async (page, relay) => {
    const huge = 'spam '.repeat(1_000)
    const zalgo = `zalgo ${'Z\u0310\u0311\u0312\u0313\u0314\u0315'.repeat(300)} \u0000 \ud800 end`
    const bidi = `Old\u202E${MARKUP}\u2066`
    relay.events(...[
      { title: MARKUP, url: 'javascript:alert(1)', summary: MARKUP, action: MARKUP, scope: MARKUP, actor: { id: '1', name: MARKUP, url: 'data:text/html,<script>alert(6)</script>' } },
      { title: bidi, url: 'https://evil.example/?a="onmouseover="alert(7)', summary: bidi, action: bidi, scope: bidi, actor: { id: '1', handle: bidi } },
      { title: zalgo, summary: zalgo, action: zalgo, scope: zalgo, actor: { id: '1', name: zalgo } },
      { title: huge, url: `https://evil.example/${huge}`, summary: huge, action: huge, scope: huge, actor: { id: '1', name: huge }, tags: [huge] },
      { title: 'https://bank.example/login', url: 'https://evil.example/', summary: 'x'.repeat(5_000), scope: 'x'.repeat(5_000) },
      { title: { a: 1 }, url: [], summary: 7, action: null, scope: {}, actor: [], created: 1e300 },
    ].map((data, n) => change(`hostile-${n}`, data)))
    const row = (n) => page.locator('article.change', { has: page.locator('.source', { hasText: `hostile-${n}` }) })
    await row(5).waitFor()
    await page.click('.pause')
    for (let n = 0; n < 6; n++) {
      const { height, width } = await row(n).boundingBox()
      assert.ok(height < 80, `row ${n} is ${height} px high`)
      const room = await page.evaluate(() => document.querySelector('#feed').clientWidth)
      assert.ok(width <= room, `row ${n} is ${width} px wide in ${room}`)
    }
    assert.equal(await row(0).locator('a[target]').count(), 0)
    const made = await row(0).evaluate((article) => [...new Set([...article.querySelectorAll('.title *, .summary *, .action *, .name *, .scope *')].map(({ localName }) => localName))])
    assert.deepEqual(made, ['bdi'])
    assert.doesNotMatch(await row(1).locator('.did').textContent(), /[\u202a-\u202e\u2066-\u2069]/)
    const link = row(1).locator('.title a')
    assert.equal(await link.getAttribute('rel'), 'noopener noreferrer nofollow ugc')
    assert.equal(await link.getAttribute('referrerpolicy'), 'no-referrer')
    assert.equal(await link.getAttribute('onmouseover'), null)
    assert.match(await row(4).locator('.did').textContent(), /\(evil\.example\)/)
    for (let n = 0; n < 6; n++) if (await row(n).locator('button').count()) await row(n).locator('button').click()
    assert.ok((await row(3).boundingBox()).height < 800)
    const [inner, outer] = await page.evaluate(() => [document.querySelector('#feed').scrollWidth, document.querySelector('#feed').clientWidth])
    assert.ok(inner <= outer, `the feed is ${inner} px wide in ${outer}`)
    // Its scope is a filter, whatever it is.
    await row(0).locator('.scope').click()
    await page.waitForFunction(() => document.querySelectorAll('article:not(.divider)').length === 1)
    assert.equal(await row(0).count(), 1)
    await page.waitForTimeout(500)
  }, { tapped: true }))

test('what no date and no language can be costs neither the others nor the page', () =>
  look(async (page, relay) => {
    const broken = { ...post('o0', { text: 'without a topic' }), topic: undefined }
    relay.events(
      post('o1', { text: 'odd one', lang: 'en-ab-cd' }), post('o2', { text: 'odd two', created: 1e300 }), broken, null,
      event('gap', 'gap.test', { from: 1e300, to: 1e301, cause: 'x' }), event('geo', 'geo.test.xx', null), event('delete', 'delete.test', null),
      post('o3', { text: 'the one after them' }),
    )
    await page.locator('article.post', { hasText: 'the one after them' }).waitFor()
    for (const key of ['test o1', 'test o2']) await page.waitForSelector(`article[data-key="${key}"]`)
    assert.equal(await page.locator('article', { hasText: 'without a topic' }).count(), 0)
    await page.locator('select[name=lang] option[value=en-ab-cd]').waitFor({ state: 'attached' })
  }, { tapped: true, at: '#/?lang=' }))

test('a shared address with a language that is none leaves the page working', () =>
  look(async (page, relay) => {
    relay.events(post('o4', { text: 'in no language', lang: 'en-ab-cd' }))
    await page.locator('article.post', { hasText: 'in no language' }).waitFor()
    assert.equal(await page.inputValue('select[name=lang]'), 'en-ab-cd')
    await page.selectOption('select[name=lang]', '')
    await rows(page, 5)
  }, { tapped: true, at: '#/?lang=en-ab-cd', waits: false }))

test('where the browser forbids storage the page works, and choices last as long as it', () =>
  look(async (page) => {
    await rows(page, 5)
    await page.selectOption('select[name=flow]', 'slow')
    await page.click('button[aria-label^=Theme]')
    await page.waitForFunction(() => document.documentElement.dataset.theme === 'light')
    await page.click('button[aria-label^=Theme]')
    await page.waitForFunction(() => document.documentElement.dataset.theme === 'dark')
    await page.click('.pause')
    await page.waitForSelector('.status[data-tone="held"]')
    assert.equal(await page.inputValue('select[name=flow]'), 'slow')
  }, { stored: false }))

test('the page cannot turn text into markup even if it tried', () =>
  look(async (page) => {
    const said = await page.evaluate(() => {
      try {
        document.createElement('div')['inner' + 'HTML'] = '<b>x</b>'
        return 'allowed'
      } catch (error) {
        return error.name
      }
    })
    assert.equal(said, 'TypeError')
    // That attempt is a violation, and the only one.
    await page.evaluate(() => globalThis.violations.splice(0))
  }, { refused: /TrustedHTML/ }))
