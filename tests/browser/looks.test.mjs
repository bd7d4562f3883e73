// How it looks, and whether everybody can use it: axe in light and dark, on a desk and on a phone.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { faults, look, mixture, rows, shoot, still } from './page.mjs'

const DESK = { width: 1280, height: 800 }
const PHONE = { width: 360, height: 720 }
const LOOKS = [
  ['desk-light', { viewport: DESK, colorScheme: 'light' }],
  ['desk-dark', { viewport: DESK, colorScheme: 'dark' }],
  ['phone-light', { viewport: PHONE, colorScheme: 'light' }],
  ['phone-dark', { viewport: PHONE, colorScheme: 'dark', reducedMotion: 'reduce' }],
]

for (const [name, looks] of LOOKS) {
  test(`${name}: axe finds nothing, nothing overflows`, () =>
    look(async (page) => {
      await rows(page, 8)
      await page.waitForSelector('.places li', { state: 'attached' })
      await page.waitForTimeout(1500)
      await shoot(page, name)
      await sound(page)
      if (looks.viewport === PHONE) {
        await page.click('.tabs button:nth-child(2)')
        await page.waitForTimeout(600)
        await shoot(page, `${name}-world`)
        await sound(page)
      }
    }, looks))
}

for (const [name, looks] of LOOKS) {
  test(`${name}: posts and changes together`, () =>
    look(async (page, relay) => {
      await rows(page, 8)
      relay.events(...mixture())
      await page.waitForSelector('.sources li:nth-child(5)', { state: 'attached' })
      await still(page, relay, mixture())
      await page.locator('article.change').first().waitFor()
      await shoot(page, `${name}-mixed`)
      await sound(page)
      for (const button of await page.locator('article.change button').all()) await button.click()
      await shoot(page, `${name}-mixed-open`)
      await sound(page)
      if (looks.viewport !== PHONE) return
      await page.click('.unfold')
      await shoot(page, `${name}-mixed-unfolded`)
      await sound(page)
      await page.click('.unfold')
      await page.click('.tabs button:nth-child(2)')
      await page.evaluate(() => document.querySelector('source-list').scrollIntoView())
      await shoot(page, `${name}-mixed-world`)
      await sound(page)
    }, { ...looks, tapped: true }))
}

test('paused and with the list of shortcuts open, axe finds nothing', () =>
  look(async (page) => {
    await rows(page, 8)
    await page.click('.pause')
    await page.waitForSelector('.pill')
    await shoot(page, 'paused')
    await sound(page)
    await page.keyboard.press('?')
    await shoot(page, 'shortcuts')
    await sound(page)
  }))

test('the theme can be chosen, and stays chosen', () =>
  look(async (page) => {
    const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor)
    const light = await ground()
    await page.click('button[aria-label^=Theme]')
    assert.equal(await ground(), light)
    await page.click('button[aria-label^=Theme]')
    const dark = await ground()
    assert.notEqual(dark, light)
    await page.reload()
    await rows(page, 1)
    assert.equal(await ground(), dark)
  }))

test('a picture for the README', { skip: !process.env.STREAMER_SCREENSHOT }, () =>
  look(async (page) => {
    await rows(page, 12)
    await page.waitForTimeout(12_000)
    await page.screenshot({ path: process.env.STREAMER_SCREENSHOT })
  }, { calm: true }))

async function sound(page) {
  assert.deepEqual(await faults(page), [])
  const [width, room] = await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.clientWidth])
  assert.ok(width <= room, `the page is ${width} px wide in a window of ${room}`)
}
