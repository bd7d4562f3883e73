// The filter: what the menus say is what is shown, and on a phone nothing of it is hidden for good.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { faults, look, post, rows, shoot } from './page.mjs'

const PHONE = { width: 360, height: 720 }

/** What the page claims to be filtering by. */
const claims = (page) => page.evaluate(() =>
  Object.fromEntries([...document.querySelectorAll('tool-bar [name]:not([name=flow])')].map(({ name, value }) => [name, value])))

async function claimed(page, expected) {
  await page.waitForTimeout(400)
  assert.deepEqual(await claims(page), { source: '', lang: '', text: '', ...expected })
}

test('the menus follow the address: back, forwards, and changed by hand', () =>
  look(async (page) => {
    await page.waitForSelector('select[name=source] option[value=demo]', { state: 'attached' })
    await page.selectOption('select[name=source]', 'demo')
    await claimed(page, { source: 'demo' })
    await page.evaluate(() => { location.hash = '#/?q=%23x' })
    await claimed(page, { text: '#x' })
    await page.goBack()
    await claimed(page, { source: 'demo' })
    await page.evaluate(() => { location.hash = '#/?lang=fr&src=nobody' })
    await claimed(page, { lang: 'fr', source: 'nobody' })
    assert.equal(await page.textContent('.empty'), 'Nothing that arrived matches the filter yet.')
    await page.goBack()
    await claimed(page, { source: 'demo' })
    await page.goForward()
    await claimed(page, { lang: 'fr', source: 'nobody' })
  }))

test('a shared filter is seen on a phone, and one press undoes it', () =>
  look(async (page, relay) => {
    relay.events(post('f1', { text: 'Un cacapo', lang: 'fr' }))
    await page.locator('article.post', { hasText: 'Un cacapo' }).waitFor()
    const chip = page.getByRole('button', { name: 'fr · test' })
    await chip.waitFor()
    await page.click('.pause')
    relay.events(...Array.from({ length: 3 }, (_, n) => post(`f2-${n}`, { text: 'Encore', lang: 'fr' })))
    await page.waitForSelector('.pill')
    await shoot(page, 'phone-filtered')
    assert.deepEqual(await faults(page), [])
    const [left, right] = [await chip.boundingBox(), await page.locator('.pill').boundingBox()]
    assert.ok(left.x + left.width <= right.x && right.x + right.width <= PHONE.width, 'chip and pill collide')
    await chip.click()
    await chip.waitFor({ state: 'detached' })
    assert.equal(await page.evaluate(() => document.activeElement.id), 'feed-title')
    await page.click('.pause')
    await rows(page, 4)
    await claimed(page, {})
  }, { tapped: true, viewport: PHONE, at: '#/?lang=fr&src=test', waits: false }))

test('a phone unfolds flow, source, language and the list of shortcuts', () =>
  look(async (page) => {
    const flow = page.locator('select[name=flow]')
    assert.equal(await flow.isVisible(), false)
    await page.click('.unfold')
    await flow.selectOption('slow')
    for (const what of ['select[name=source]', 'select[name=lang]']) assert.ok(await page.locator(what).isVisible())
    await page.waitForTimeout(500)
    await shoot(page, 'phone-unfolded')
    assert.deepEqual(await faults(page), [])
    await page.click('button[aria-haspopup=dialog]')
    await page.waitForSelector('dialog[open]')
    await page.keyboard.press('Escape')
    await page.click('.unfold')
    assert.equal(await flow.isVisible(), false)
  }, { viewport: PHONE }))

test('the pause button covers nothing at the end of the places', () =>
  look(async (page) => {
    await page.click('.tabs button:nth-child(2)')
    await page.waitForSelector('.places li')
    await page.evaluate(() => {
      const pane = document.querySelector('.world-pane')
      pane.scrollTop = pane.scrollHeight
    })
    await page.waitForTimeout(300)
    await shoot(page, 'phone-world-end')
    const [end, button] = [await page.locator('.places').boundingBox(), await page.locator('.pause').boundingBox()]
    assert.ok(end.y + end.height <= button.y, `the list ends at ${end.y + end.height}, the button begins at ${button.y}`)
  }, { viewport: { width: 360, height: 480 } }))

test('a chosen source is named on a desk too', () =>
  look(async (page) => {
    await rows(page, 5)
    await page.selectOption('select[name=source]', 'demo')
    await page.getByRole('button', { name: 'demo' }).waitFor()
    await page.waitForTimeout(500)
    await shoot(page, 'desk-filtered')
    assert.deepEqual(await faults(page), [])
  }))
