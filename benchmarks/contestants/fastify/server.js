// Fastify on node-postgres: JSON schemas check what comes in and write what goes out.
import cluster from 'node:cluster'
import Fastify from 'fastify'
import pg from 'pg'

// A date of birth is a day, not an instant: leave it as PostgreSQL writes it.
pg.types.setTypeParser(pg.types.builtins.DATE, (text) => text)

const nullable = (schema) => ({ ...schema, nullable: true })
const fields = {
  email: { type: 'string', format: 'email', maxLength: 254 },
  username: { type: 'string', minLength: 1, maxLength: 100 },
  dob: nullable({ type: 'string', format: 'date' }),
  country: nullable({ type: 'string', minLength: 2, maxLength: 2 }),
  phone_number: nullable({ type: 'string', maxLength: 20 })
}
const account = {
  type: 'object',
  properties: {
    id: { type: 'string' },
    created: { type: 'string', format: 'date-time' },
    updated: { type: 'string', format: 'date-time' },
    email: { type: 'string' },
    username: { type: 'string' },
    dob: nullable({ type: 'string' }),
    country: nullable({ type: 'string' }),
    phone_number: nullable({ type: 'string' })
  }
}
const params = { type: 'object', properties: { id: { type: 'string', format: 'uuid' } } }
const columns = 'id, created, updated, email, username, dob, country, phone_number'

function build () {
  const app = Fastify()
  const pool = new pg.Pool({ max: Number(process.env.POOL_SIZE) })
  app.addHook('onClose', () => pool.end())

  app.get('/accounts', {
    schema: {
      querystring: {
        type: 'object',
        properties: {
          limit: { type: 'integer', minimum: 1, maximum: 200, default: 50 },
          before: { type: 'string', format: 'date-time' },
          country: { type: 'string' }
        }
      },
      response: { 200: { type: 'array', items: account } }
    }
  }, async (request) => {
    const { limit, before, country } = request.query
    const conditions = []
    const values = []
    if (country !== undefined) conditions.push(`country = $${values.push(country)}`)
    if (before !== undefined) conditions.push(`created < $${values.push(before)}`)
    const where = conditions.length > 0 ? `WHERE ${conditions.join(' AND ')}` : ''
    const { rows } = await pool.query(
      `SELECT ${columns} FROM accounts ${where} ORDER BY created DESC LIMIT $${values.push(limit)}`,
      values
    )
    return rows
  })

  app.post('/accounts', {
    schema: {
      body: { type: 'object', required: ['email', 'username'], properties: fields },
      response: { 201: account }
    }
  }, async (request, reply) => {
    const { email, username, dob, country, phone_number: phoneNumber } = request.body
    const { rows } = await pool.query(
      `INSERT INTO accounts (id, email, username, dob, country, phone_number)
       VALUES (gen_random_uuid(), $1, $2, $3, $4, $5) RETURNING ${columns}`,
      [email, username, dob, country, phoneNumber]
    )
    reply.code(201)
    return rows[0]
  })

  app.get('/accounts/:id', { schema: { params, response: { 200: account } } },
    async (request, reply) => {
      const { rows } = await pool.query(
        `SELECT ${columns} FROM accounts WHERE id = $1`, [request.params.id]
      )
      if (rows.length === 0) return reply.code(404).send({ message: 'Account not found' })
      return rows[0]
    })

  app.patch('/accounts/:id', {
    schema: {
      params,
      body: { type: 'object', properties: fields, minProperties: 1 },
      response: { 200: account }
    }
  }, async (request, reply) => {
    const names = Object.keys(fields).filter((name) => name in request.body)
    const changes = names.map((name, index) => `${name} = $${index + 2}`).join(', ')
    const { rows } = await pool.query(
      `UPDATE accounts SET ${changes}, updated = now() WHERE id = $1 RETURNING ${columns}`,
      [request.params.id, ...names.map((name) => request.body[name])]
    )
    if (rows.length === 0) return reply.code(404).send({ message: 'Account not found' })
    return rows[0]
  })

  return app
}

const workers = Number(process.env.WORKERS)
if (workers > 1 && cluster.isPrimary) {
  for (let index = 0; index < workers; index++) cluster.fork()
} else {
  const app = build()
  await app.listen({ host: '127.0.0.1', port: Number(process.env.PORT) })
  process.on('SIGTERM', () => app.close())
}
