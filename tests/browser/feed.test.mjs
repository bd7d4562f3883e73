// The feed as a reader meets it: posts come, a pause holds them, a delete takes them away.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { account, event, faults, inject, look, post, rows, shoot } from './page.mjs'

const LIVE = '.status[data-tone="live"]'
const rowOf = (page, text) => page.locator('article.post', { hasText: text })

test('posts appear and go on arriving, and every one of them is accounted for', () =>
  look(async (page) => {
    await page.waitForSelector(LIVE)
    const before = await account(page)
    await page.waitForFunction((n) => Number(document.querySelector('[data-count=shown] b').textContent.replace(/\D/g, '')) > n + 3, before.shown)
    const after = await account(page)
    assert.equal(after.sent, after.shown + after['not-shown'] + after.held + after.lost)
    assert.equal(after.lost, 0)
    await inject({ text: 'A kakapo was seen at the ridge #kakapo' })
    await rowOf(page, 'A kakapo was seen at the ridge').waitFor()
  }))

test('an injected post is filtered by word, and its tag is a filter', () =>
  look(async (page) => {
    await inject({ text: 'Tide table for Tuesday #tides' })
    await rowOf(page, 'Tide table').waitFor()
    await page.fill('input[name=text]', 'tuesday')
    await page.waitForFunction(() => [...document.querySelectorAll('article.post')].every((row) => row.querySelector('.covered') || /tuesday/i.test(row.textContent)))
    assert.match(page.url(), /#\/\?q=tuesday$/)
    await rowOf(page, 'Tide table').getByText('#tides').click()
    await page.waitForFunction(() => document.querySelector('input[name=text]').value === '#tides')
    await rowOf(page, 'Tide table').waitFor()
  }))

test('pause is the second tab stop, holds feed and map, and resume shows what came', () =>
  look(async (page) => {
    await rows(page, 5)
    await page.waitForSelector(LIVE)
    await page.keyboard.press('Tab')
    await page.keyboard.press('Tab')
    assert.equal(await page.evaluate(() => document.activeElement.className), 'pause')
    await page.keyboard.press('Enter')
    await page.waitForSelector('.status[data-tone="held"]')
    const still = () => page.evaluate(() => ({
      rows: [...document.querySelectorAll('article')].map(({ dataset }) => dataset.key).join(),
      map: document.querySelector('.blips').outerHTML,
    }))
    const before = await still()
    const { shown } = await account(page)
    await inject({ text: 'This one has to wait' })
    await page.waitForFunction(() => Number(document.querySelector('[data-count=held] b').textContent) >= 3)
    assert.deepEqual(await still(), before)
    assert.equal((await account(page)).shown, shown)
    assert.match(await page.textContent('.pill'), /\d+ new/)
    assert.equal(await rowOf(page, 'This one has to wait').count(), 0)
    await page.reload()
    await page.waitForSelector('.status[data-tone="held"]')
    await page.keyboard.press('p')
    await rowOf(page, 'This one has to wait').first().waitFor()
    await page.waitForSelector('.pill', { state: 'detached' })
  }))

test('reading holds the feed, and what is new never moves it', () =>
  look(async (page) => {
    await rows(page, 12)
    await page.waitForSelector(LIVE)
    await page.evaluate(() => { document.querySelector('#feed').scrollTop = 200 })
    await page.waitForSelector('.pill')
    const first = await page.getAttribute('article', 'data-key')
    await page.waitForFunction(() => Number(document.querySelector('[data-count=held] b').textContent) >= 3)
    assert.equal(await page.evaluate(() => document.querySelector('#feed').scrollTop), 200)
    assert.equal(await page.getAttribute('article', 'data-key'), first)
    await page.click('.pill')
    await page.waitForSelector(LIVE)
    assert.equal(await page.evaluate(() => document.querySelector('#feed').scrollTop), 0)
    assert.notEqual(await page.getAttribute('article', 'data-key'), first)
  }))

test('j and k walk through posts, Escape ends reading, and letters can be switched off', () =>
  look(async (page) => {
    await rows(page, 5)
    await page.keyboard.press('j')
    await page.keyboard.press('j')
    const at = () => page.evaluate(() => document.activeElement.getAttribute('aria-posinset'))
    assert.equal(await at(), '2')
    await page.keyboard.press('k')
    assert.equal(await at(), '1')
    await page.keyboard.press('Control+End')
    assert.equal(await page.evaluate(() => document.activeElement.id), 'places-title')
    await page.keyboard.press('j')
    await page.keyboard.press('Escape')
    await page.waitForSelector(LIVE)
    await page.keyboard.press('?')
    await page.uncheck('dialog input[type=checkbox]')
    await page.keyboard.press('Escape')
    await page.keyboard.press('p')
    await page.waitForTimeout(600)
    assert.equal(await page.locator(LIVE).count(), 1)
  }))

test('a delete takes the post out of the list and out of the buffer', () =>
  look(async (page, relay) => {
    relay.events(post('gone-1', { text: 'Soon to be gone' }))
    await rowOf(page, 'Soon to be gone').waitFor()
    relay.events(event('delete', 'delete.test', { id: 'gone-1' }))
    await rowOf(page, 'Soon to be gone').waitFor({ state: 'detached' })
    await page.click('.pause')
    relay.events(post('gone-2', { text: 'Gone before it was seen' }))
    relay.events(event('delete', 'delete.test', { id: 'gone-2' }), post('kept', { text: 'This one stays' }))
    await page.waitForFunction(() => Number(document.querySelector('[data-count=held] b').textContent) >= 1)
    await page.click('.pause')
    await rowOf(page, 'This one stays').waitFor()
    assert.equal(await rowOf(page, 'Gone before').count(), 0)
  }, { tapped: true }))

test('what is missing is said, where it is missing', () =>
  look(async (page, relay) => {
    relay.frame('lag', { skipped: 132, from: 'v1.-.0', to: 'v1.-.0', why: 'slow' })
    const lag = page.locator('article.gap', { hasText: '132 skipped' })
    await lag.waitFor()
    assert.match(await lag.textContent(), /your connection is slow/)
    assert.equal((await account(page)).lost, 132)
    const now = Date.now()
    const [from, to] = [new Date(now - 120_000).toISOString(), new Date(now).toISOString()]
    relay.events(event('gap', 'gap.test', { from, to, cause: 'stall', filled: false }))
    const gap = page.locator('article.divider', { hasText: 'connection stalled' })
    await gap.waitFor()
    assert.match(await gap.locator('p').textContent(), /\d{1,2}:\d\d.*\d{1,2}:\d\d.*: missed, connection stalled$/)
    assert.equal(await gap.getAttribute('aria-label'), 'Gap in test')
    assert.deepEqual(await faults(page), [])
    await gap.scrollIntoViewIfNeeded()
    await shoot(page, 'gap')
  }, { tapped: true }))

test('a scrub takes places out of the list and off the map, of that author and up to that post', () =>
  look(async (page, relay) => {
    const located = (id, author) => [
      post(id, { text: `Located ${id}`, author: { id: author, name: 'Tester' }, geo: { lat: -89, lon: 0, name: 'South Pole' } }),
      event('geo', 'geo.test.aq', { lat: -89, lon: 0, precision: 'point', radius_km: 0, post: id, author }),
    ]
    const place = (id) => rowOf(page, `Located ${id}`).getByText('South Pole')
    const scrub = event('scrub', 'scrub.test', { author: '7', up_to: '1519000000000000001' })
    relay.events(...located('1519000000000000001', '7'), ...located('1519000000000000002', '7'), ...located('3', '8'))
    for (const id of ['1519000000000000001', '1519000000000000002', '3']) await place(id).waitFor()
    // The map draws on a beat of its own, later than the feed; and no simulated post comes from that far south.
    const blips = (n) => page.waitForFunction((n) => {
      const shown = [...document.querySelectorAll('.blips circle:not([data-step="0"])')]
      return shown.filter((one) => Number(one.getAttribute('cy')) > 0.95 * one.ownerSVGElement.viewBox.baseVal.height).length === n
    }, n)
    await blips(3)
    await page.click('.pause')
    relay.events(scrub)
    await place('1519000000000000001').waitFor({ state: 'detached' })
    await blips(2)
    assert.equal(await rowOf(page, 'Located 1519000000000000001').count(), 1)
    assert.deepEqual([await place('1519000000000000002').count(), await place('3').count()], [1, 1])
    await page.click('.pause')
    relay.events(...located('9', '7'))
    await rowOf(page, 'Located 9').waitFor()
    assert.equal(await place('9').count(), 0)
  }, { tapped: true }))

test('a busy feed is calm until the reader wants everything, and the choice is kept', () =>
  look(async (page) => {
    assert.equal(await page.inputValue('select[name=flow]'), 'calm')
    await page.selectOption('select[name=flow]', 'slow')
    await page.reload()
    await rows(page, 1)
    assert.equal(await page.inputValue('select[name=flow]'), 'slow')
    const { sent, shown, held, lost, ...rest } = await account(page)
    assert.equal(sent, shown + rest['not-shown'] + held + lost)
  }, { calm: true }))
