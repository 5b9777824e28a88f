// Positions in a list, signed together with what they are bound to.
import { createHmac, timingSafeEqual } from 'node:crypto'
import { Problem } from './problems.js'

const SIGNATURE_BYTES = 12
const POSITION = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z) ([0-9a-f-]{36})$/

function sign (position, binding) {
  const hmac = createHmac('sha256', process.env.CURSOR_SECRET).update(`${binding}\n${position}`)
  return hmac.digest().subarray(0, SIGNATURE_BYTES)
}

export function cursorBehind ({ created, id }, binding) {
  const position = `${created} ${id}`
  return Buffer.concat([sign(position, binding), Buffer.from(position)]).toString('base64url')
}

export function positionOf (cursor, binding) {
  const bytes = Buffer.from(cursor, 'base64url')
  const position = bytes.subarray(SIGNATURE_BYTES).toString()
  const found = POSITION.exec(position)
  if (found === null || bytes.toString('base64url') !== cursor ||
      !timingSafeEqual(bytes.subarray(0, SIGNATURE_BYTES), sign(position, binding))) {
    const errors = [{ parameter: 'cursor', code: 'invalid_format', detail: 'Must be of this list.' }]
    throw new Problem('invalid_cursor', { errors })
  }
  return { created: found[1], id: found[2] }
}
