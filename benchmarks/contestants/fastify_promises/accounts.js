// The operations on accounts.
import { conditionsOf, etag, names, stale } from './conditions.js'
import { cursorBehind, positionOf } from './cursors.js'
import { account, changed, created, takeAccount, takeCountry } from './fields.js'
import { keyOf, once } from './idempotency.js'
import { Problem } from './problems.js'

const COLUMNS = 'id, email, username, dob, country, phone_number, created, updated, version'
const ONE = `SELECT ${COLUMNS} FROM accounts WHERE id = $1`
const INSERT = `
  INSERT INTO accounts (id, email, email_key, username, dob, country, phone_number)
  VALUES (uuidv7(), $1, $2, $3, $4, $5, $6) RETURNING ${COLUMNS}`
const MOST = 200

const params = { type: 'object', properties: { id: { type: 'string', format: 'uuid' } } }
const querystring = {
  type: 'object',
  additionalProperties: false,
  properties: {
    limit: { type: 'string', pattern: '^[1-9]\\d{0,2}$', default: '50' },
    cursor: { type: 'string', maxLength: 500 },
    country: { type: ['string', 'array'], items: { type: 'string' }, maxItems: 50 }
  }
}
const noQuery = { type: 'object', additionalProperties: false }
const page = {
  type: 'object',
  properties: {
    data: { type: 'array', items: account },
    next_cursor: { type: 'string', nullable: true },
    count: { type: 'integer', nullable: true }
  }
}

function invalid (place, code, detail) {
  return new Problem('invalid_request', { errors: [{ ...place, code, detail }] })
}

function takeQuery ({ query: { limit, cursor, country } }) {
  const size = Number(limit)
  if (size > MOST) throw invalid({ parameter: 'limit' }, 'too_large', `Must be at most ${MOST}.`)
  if (country === undefined) return { size, cursor, countries: null }
  try {
    return { size, cursor, countries: [country].flat().map(takeCountry).sort() }
  } catch (error) {
    throw invalid({ parameter: 'country' }, error.code, error.message)
  }
}

function head (reply, row) {
  return reply.header('cache-control', 'private, no-cache').header('etag', etag(row.version))
}

export async function accounts (app) {
  const { pool } = app

  async function find (id) {
    const { rows: [row] } = await pool.query(ONE, [id])
    if (row === undefined) throw new Problem('account_not_found')
    return row
  }

  app.get('/accounts', { schema: { querystring, response: { 200: page } } }, async (request, reply) => {
    const { size, cursor, countries } = takeQuery(request)
    const binding = `accounts -created ${countries ?? ''}`
    const wanted = []
    const values = []
    if (countries !== null) wanted.push(`country = ANY($${values.push(countries)})`)
    if (cursor !== undefined) {
      const { created: instant, id } = positionOf(cursor, binding)
      wanted.push(`(created, id) < ($${values.push(instant)}, $${values.push(id)})`)
    }
    const where = wanted.length > 0 ? `WHERE ${wanted.join(' AND ')}` : ''
    const { rows } = await pool.query(
      `SELECT ${COLUMNS} FROM accounts ${where} ORDER BY created DESC, id DESC LIMIT $${values.push(size + 1)}`,
      values
    )
    let next = null
    if (rows.length > size) {
      rows.pop()
      next = cursorBehind(rows[size - 1], binding)
      const query = new URLSearchParams({ limit: size, cursor: next })
      for (const code of countries ?? []) query.append('country', code)
      reply.header('link', `</accounts?${query}>; rel="next"`)
    }
    reply.header('cache-control', 'private, no-cache')
    return { data: rows, next_cursor: next, count: null }
  })

  app.get('/accounts/:id', {
    schema: { params, querystring: noQuery, response: { 200: account } }
  }, async (request, reply) => {
    const row = await find(request.params.id)
    const { match, none } = conditionsOf(request)
    if (match !== null && !names(match, row.version)) throw stale(row.version)
    head(reply, row)
    if (none !== null && names(none, row.version)) return reply.code(304).send()
    return row
  })

  app.post('/accounts', {
    attachValidation: true,
    schema: { querystring: noQuery, body: created, response: { 201: account } }
  }, async (request, reply) => {
    if (request.body === undefined) throw new Problem('unsupported_media_type')
    const key = keyOf(request)
    const values = takeAccount(request)
    const { email, email_key: unique, username, dob, country, phone_number: phone } = values
    const insert = async (client) => {
      const { rows: [row] } = await client.query(INSERT, [email, unique, username, dob, country, phone])
      head(reply.code(201), row).header('location', `/accounts/${row.id}`)
      return row
    }
    if (key === null) return insert(pool)
    const { status, headers, body, replayed } = await once(pool, key, values, async (client) => {
      const row = await insert(client)
      const { etag: tag, location } = reply.getHeaders()
      return { status: 201, headers: { etag: tag, location }, body: reply.serialize(row) }
    })
    if (replayed) {
      reply.code(status).headers(headers).header('idempotency-replayed', 'true')
      reply.header('cache-control', 'private, no-cache')
    }
    return reply.type('application/json; charset=utf-8').send(body.toString())
  })

  app.patch('/accounts/:id', {
    attachValidation: true,
    schema: { params, querystring: noQuery, body: changed, response: { 200: account } }
  }, async (request, reply) => {
    if (request.body === undefined) throw new Problem('unsupported_media_type')
    const { id } = request.params
    const values = takeAccount(request)
    const { id: given, version } = request.body
    if (given !== undefined && given.toLowerCase() !== id.toLowerCase()) {
      throw invalid({ pointer: '/id' }, 'read_only', 'Must be that of the path.')
    }
    let { match, none } = conditionsOf(request)
    if (version !== undefined) match = match === null || names(match, version) ? [version] : []
    const row = await change(id, values, match, none)
    head(reply, row)
    return row
  })

  // One statement, so that of all who name a version one alone changes it.
  async function change (id, values, match, none) {
    const fields = Object.keys(values)
    const parameters = [id, ...Object.values(values)]
    if (fields.length > 0 && none !== true) {
      const changes = fields.map((name, index) => `${name} = $${index + 2}`)
      const differences = fields.map((name, index) => `${name} IS DISTINCT FROM $${index + 2}`)
      let where = `id = $1 AND (${differences.join(' OR ')})`
      if (Array.isArray(match)) where += ` AND version = ANY($${parameters.push(match)})`
      if (none !== null) where += ` AND version <> ALL($${parameters.push(none)})`
      const { rows: [row] } = await pool.query(
        `UPDATE accounts SET ${changes.join(', ')}, version = version + 1, updated = statement_timestamp()
         WHERE ${where} RETURNING ${COLUMNS}`, parameters
      )
      if (row !== undefined) return row
    }
    // There is no such account, a condition fails, or all was so before.
    const row = await find(id)
    if (match !== null && !names(match, row.version)) throw stale(row.version)
    if (none !== null && names(none, row.version)) throw stale(row.version)
    return row
  }
}
