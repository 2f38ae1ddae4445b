-- How the Redis store counts and forgets, and what calls the transactions of all three files; read after the others.

function transactions.draw(name, wanted, most, till, now)
  local lasts = call('ZSCORE', key('drawn_until'), name)
  local gone = not lasts or tonumber(lasts) <= tonumber(now)
  local amount = gone and 0 or tonumber(call('HGET', key('drawn'), name))
  local taken = math.max(0, math.min(tonumber(wanted), tonumber(most) - amount))
  call('HSET', key('drawn'), name, string.format('%d', amount + taken))
  call('ZADD', key('drawn_until'), gone and till or later(till, lasts), name)
  return {'ok', string.format('%d', taken)}
end

function transactions.count(till, now, ...)
  local amounts, before = {...}, {'ok'}
  for at = 1, #amounts, 2 do
    local name, lasts = amounts[at], call('ZSCORE', key('drawn_until'), amounts[at])
    local gone = not lasts or tonumber(lasts) <= tonumber(now)
    local amount = gone and 0 or tonumber(call('HGET', key('drawn'), name))
    call('HSET', key('drawn'), name, string.format('%d', amount + tonumber(amounts[at + 1])))
    call('ZADD', key('drawn_until'), gone and till or later(till, lasts), name)
    before[#before + 1] = string.format('%d', amount)
  end
  return before
end

function transactions.give_back(name, amount)
  local drawn = tonumber(call('HGET', key('drawn'), name) or 0)
  if drawn > 0 and tonumber(amount) > 0 then
    call('HSET', key('drawn'), name, string.format('%d', math.max(0, drawn - tonumber(amount))))
  end
  return {'ok'}
end

-- Who holds places under a name, and until when: `places` by name, `held_by` the other way, `places_until` by time.

local function give_up(name, holder)
  call('HDEL', key('places', name), holder)
  call('SREM', key('held_by', holder), name)
  call('ZREM', key('places_until'), cjson.encode({name, holder}))
end

local function occupy(name, holder, amount, till)
  call('HSET', key('places', name), holder, amount .. ' ' .. till)
  call('SADD', key('held_by', holder), name)
  call('ZADD', key('places_until'), till, cjson.encode({name, holder}))
end

local function place(name, holder)
  local amount, till = string.match(call('HGET', key('places', name), holder), '^(%S+) (%S+)$')
  return tonumber(amount), till
end

function transactions.hold(name, holder, amount, most, till, now)
  local others = 0
  for _, other in ipairs(call('HKEYS', key('places', name))) do
    local held, ends = place(name, other)
    if other == holder or tonumber(ends) <= tonumber(now) then
      give_up(name, other)
    else
      others = others + held
    end
  end
  local held = string.format('%d', math.max(0, math.min(tonumber(amount), tonumber(most) - others)))
  if held ~= '0' then
    occupy(name, holder, held, till)
  end
  return {'ok', held}
end

function transactions.prolong(holder, till, now)
  for _, name in ipairs(call('SMEMBERS', key('held_by', holder))) do
    local held, ends = place(name, holder)
    if tonumber(ends) > tonumber(now) then
      occupy(name, holder, string.format('%d', held), till)
    end
  end
  return {'ok'}
end

function transactions.once(name, till, now)
  local lasts = call('ZSCORE', key('seen'), name)
  local first = not lasts or tonumber(lasts) <= tonumber(now)
  call('ZADD', key('seen'), first and till or later(till, lasts), name)
  return {'ok', first and '1' or '0'}
end

-- The public keys of the authorities that share the store, each until nothing that it has signed can be good.

function transactions.keys(till, now, ...)
  local published = {...}
  for at = 1, #published, 2 do
    call('HSET', key('keys'), published[at], published[at + 1])
    call('ZADD', key('keys_until'), till, published[at])
  end
  for _, name in ipairs(call('ZRANGEBYSCORE', key('keys_until'), '-inf', now)) do
    call('ZREM', key('keys_until'), name)
    call('HDEL', key('keys'), name)
  end
  local found = {'ok'}
  for _, name in ipairs(call('ZRANGE', key('keys_until'), 0, -1)) do
    found[#found + 1] = {name, call('HGET', key('keys'), name), call('ZSCORE', key('keys_until'), name)}
  end
  return found
end

function transactions.label(id, ...)
  local root = call('HGET', key('task', id), 'root')
  if not root then
    return {'unknown'}
  end
  if select('#', ...) > 0 then
    call('SADD', key('labels', root), ...)
  end
  return {'ok', unpack(call('SMEMBERS', key('labels', root)))}
end

-- Forgetting: only what frees memory, so that it works when there is none left.

local function spent_of(set, now, most)
  return call('ZRANGEBYSCORE', key(set), '-inf', '(' .. now, 'LIMIT', 0, most)
end

local function forget(now, most)
  local spent, count = seconds(now - KEEP_SPENT), 0
  for _, seq in ipairs(spent_of('spent', spent, most)) do
    local entry = cjson.decode(entry_at(seq))
    if entry[8] == 'restored' then
      call('HDEL', key('restored'), mark_of(entry[3], entry[4], entry[7]))
    elseif entry[3] == 'token' then
      call('HDEL', key('revoked_tokens'), entry[4])
    end
    remove(seq)
    count = count + 1
  end
  for _, id in ipairs(spent_of('ended', now, most)) do
    call('DEL', key('task', id), key('labels', id), key('below', id))
    call('ZREM', key('by_age'), id)
    call('ZREM', key('ended'), id)
    count = count + 1
  end
  for set, hash in pairs({tokens_by_expiry = 'tokens', drawn_until = 'drawn', seen = ''}) do
    for _, name in ipairs(spent_of(set, spent, most)) do
      call('ZREM', key(set), name)
      if hash ~= '' then
        call('HDEL', key(hash), name)
      end
      count = count + 1
    end
  end
  for _, held in ipairs(spent_of('places_until', spent, most)) do
    give_up(unpack(cjson.decode(held)))
    count = count + 1
  end
  -- A full memory refuses this one only where nothing was forgotten: it does not stop a script that has written already.
  redis.pcall('HSET', key('store'), 'swept', later(now, call('HGET', key('store'), 'swept') or '0'))
  return {'ok', string.format('%d', count)}
end

if transaction == 'forget' then
  return {'', '0', forget(unpack(argument))}
end
local epoch, count, wrong = begin()
if wrong then
  return wrong
end
local outcome = transactions[transaction](unpack(argument))
return {call('HGET', key('store'), 'epoch'), string.format('%d', count), outcome}
