// The fields of an account: their schemas, and the rules that a schema cannot state.
import { createRequire } from 'node:module'
import { domainToASCII } from 'node:url'
import countries from 'i18n-iso-countries'
import { parsePhoneNumberFromString } from 'libphonenumber-js/max'
import validator from 'validator'
import { Problem, faultsOf } from './problems.js'

const nullable = (schema) => ({ ...schema, nullable: true })
const text = { type: 'string' }
const given = {
  email: { type: 'string', maxLength: 254 },
  username: { type: 'string', minLength: 1, maxLength: 100 },
  dob: nullable({ type: 'string', format: 'date' }),
  country: nullable({ type: 'string', maxLength: 100 }),
  phone_number: nullable({ type: 'string', maxLength: 50 })
}
export const created = {
  type: 'object', additionalProperties: false, required: ['email', 'username'], properties: given
}
// What GET gave comes back: the version is a condition, the instants are ignored.
export const changed = {
  type: 'object',
  additionalProperties: false,
  properties: { ...given, id: text, created: text, updated: text, version: { type: 'integer' } }
}
export const account = {
  type: 'object',
  properties: {
    id: text,
    email: text,
    username: text,
    dob: nullable(text),
    country: nullable(text),
    phone_number: nullable(text),
    created: text,
    updated: text,
    version: { type: 'integer' }
  }
}

const codes = new Map()
countries.registerLocale(createRequire(import.meta.url)('i18n-iso-countries/langs/en.json'))
for (const [alpha2, names] of Object.entries(countries.getNames('en', { select: 'all' }))) {
  const spellings = [alpha2, countries.alpha2ToAlpha3(alpha2), countries.alpha2ToNumeric(alpha2)]
  for (const spelling of [...spellings, ...names]) codes.set(spelling.toUpperCase(), alpha2)
}

class Fault extends Error {
  constructor (code, message) {
    super(message)
    this.code = code
  }
}

export function takeCountry (value) {
  const code = codes.get(value.trim().toUpperCase())
  if (code === undefined) throw new Fault('invalid_format', 'Must be a country of ISO 3166-1.')
  return code
}

const RULES = {
  email (value) {
    const address = value.trim()
    if (!validator.isEmail(address)) throw new Fault('invalid_format', 'Must be a valid email address.')
    const at = address.lastIndexOf('@')
    return `${address.slice(0, at)}@${address.slice(at + 1).toLowerCase()}`
  },
  username (value) {
    const name = value.trim()
    if (name === '') throw new Fault('too_short', 'Must not be blank.')
    if (!/[\p{L}\p{N}\p{P}\p{S}]/u.test(name) || /\p{C}/u.test(name)) {
      throw new Fault('invalid_format', 'Must be visible, and have no control characters.')
    }
    return name
  },
  dob (value) {
    if (value < '1900-01-01') throw new Fault('too_small', 'Must not be before 1900-01-01.')
    if (value >= new Date().toISOString().slice(0, 10)) {
      throw new Fault('too_large', 'Must be before today in UTC.')
    }
    return value
  },
  country: takeCountry,
  phone_number (value, { country }) {
    const number = parsePhoneNumberFromString(value, { defaultCountry: country ?? undefined, extract: false })
    if (number === undefined || number.ext !== undefined || !number.isValid()) {
      throw new Fault('invalid_format', 'Must be an international number.')
    }
    return number.number
  }
}

// Equal for two emails that are one.
export function emailKey (email) {
  const at = email.lastIndexOf('@')
  return `${email.slice(0, at).normalize('NFC').toLowerCase()}@${domainToASCII(email.slice(at + 1))}`
}

// The fields of a body as they are stored. The faults of all come together.
export function takeAccount ({ body, validationError }) {
  const errors = validationError ? faultsOf(validationError.validation, validationError.validationContext) : []
  const wrong = new Set(errors.map(({ pointer }) => pointer?.slice(1)))
  const values = {}
  for (const name of Object.keys(RULES)) {
    const value = body?.[name]
    if (value === undefined || wrong.has(name) || wrong.has('')) continue
    try {
      values[name] = value === null ? null : RULES[name](value, values)
    } catch (error) {
      if (!(error instanceof Fault)) throw error
      errors.push({ pointer: `/${name}`, code: error.code, detail: error.message })
    }
  }
  if (errors.length > 0) throw new Problem('invalid_request', { errors })
  if (values.email !== undefined) values.email_key = emailKey(values.email)
  return values
}
