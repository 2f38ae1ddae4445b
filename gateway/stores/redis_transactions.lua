-- The transactions of the Redis store, one function for each; Redis runs one at a time and keeps all of it or nothing.
-- redis_epochs.lua is read before this, and redis_counting.lua, with counting, forgetting and the call itself, after it.

local TASK = {'row', 'tenant', 'agent', 'starter', 'parent', 'root', 'ends', 'covered', 'state', 'ended', 'cause', 'due', 'entry'}

-- The feed.

local function insert(kind, name, tenant, cause, till, now, state)
  local seq = string.format('%d', call('HINCRBY', key('store'), 'seq', 1))
  local entry = cjson.encode({seq, now, kind, name, cause, till, tenant, state})
  call('ZADD', key('feed'), seq, entry)
  if state ~= 'stopped' then
    call('ZADD', key('spent'), till, seq)
  end
  call('PUBLISH', key('changed'), me)
  return seq, entry
end

local function remove(seq)
  call('ZREMRANGEBYSCORE', key('feed'), seq, seq)
  call('ZREM', key('spent'), seq)
end

local function entry_at(seq)
  if not seq or seq == '' then
    return ''
  end
  return call('ZRANGEBYSCORE', key('feed'), seq, seq)[1] or ''
end

-- Two tenants may know an agent of one name; a tenant's own name is its own.
local function mark_of(kind, name, tenant)
  return kind == 'tenant' and 'tenant:' .. name or kind .. ':' .. tenant .. ' ' .. name
end

local function open_of(kind, name, tenant)
  return kind == 'tenant' and key('open_of', 'tenant', name) or key('open_of', kind, tenant, name)
end

local function stop_of(kind, name, tenant)
  local seq = call('HGET', key('stops'), mark_of(kind, name, tenant))
  return seq and entry_at(seq) or nil
end

local function bar(tenant, ...)
  local found = stop_of('tenant', tenant, tenant)
  for _, agent in ipairs({...}) do
    found = found or stop_of('agent', agent, tenant)
  end
  return found
end

-- Tasks.

local function load(id)
  local values = call('HMGET', key('task', id), unpack(TASK))
  if not values[1] then
    return nil
  end
  local task = {id = id}
  for index, name in ipairs(TASK) do
    task[name] = values[index] or ''
  end
  return task
end

local function shown(task)
  return {task.row, task.state, task.ended, task.cause, task.due}
end

local function problem(task, now)
  if not task then
    return {'unknown'}
  elseif task.state ~= 'open' then
    return {'ended', task.state}
  elseif tonumber(now) >= tonumber(task.ends) then
    return {'ended', 'expired'}
  end
end

local function keep_token(id, task, expires)
  call('HSET', key('tokens'), id, task)
  call('ZADD', key('tokens_by_expiry'), expires, id)
end

local function end_one(task, state, cause, now)
  local ended, entry = now, ''
  if state ~= 'expired' or tonumber(task.covered) >= now - KEEP_SPENT then
    task.entry, entry = insert('task', task.id, task.tenant, cause, task.covered, now, 'ended')
  end
  if tonumber(now) >= tonumber(task.ends) then
    state, cause, ended = 'expired', 'expired', task.ends
  end
  task.state, task.ended, task.cause = state, ended, cause
  call('HSET', key('task', task.id), 'state', state, 'ended', ended, 'cause', cause, 'entry', task.entry)
  for _, set in ipairs({open_of('agent', task.agent, task.tenant), open_of('tenant', task.tenant), key('below', task.parent)}) do
    call('SREM', set, task.id)
  end
  call('ZREM', key('open'), task.id)
  call('ZREM', key('due'), task.id)
  call('ZADD', key('ended'), seconds(math.max(ended + KEEP_ENDED, task.covered + KEEP_SPENT)), task.id)
  return {shown(task), '1', entry}
end

local function end_family(task, state, cause, now)
  local endings, parents = {end_one(task, state, cause, now)}, {task.id}
  if state ~= 'expired' then
    state, cause = 'revoked', 'parent_ended'
  end
  while #parents > 0 do
    for _, child in ipairs(call('SMEMBERS', key('below', table.remove(parents)))) do
      table.insert(endings, end_one(load(child), state, cause, now))
      table.insert(parents, child)
    end
  end
  return endings
end

local function end_each(ids, state, cause, now)
  local families = {'ok'}
  for _, id in ipairs(ids) do
    local task = load(id)
    if task.state == 'open' then
      table.insert(families, end_family(task, state, cause, now))
    end
  end
  return families
end

-- A store that was emptied does not know yet whom it has stopped; those who put that back tell of the new epoch only then.
local function is_over(epoch)
  return epoch ~= '' and epoch ~= call('HGET', key('store'), 'epoch')
end

function transactions.open_task(id, row, tenant, agent, starter, parent, opened, ends, due, token, expires, epoch, most)
  local barred = bar(tenant, agent, starter)
  if is_over(epoch) then
    return {'over'}
  elseif barred then
    return {'barred', barred}
  elseif call('EXISTS', key('task', id)) == 1 or call('HEXISTS', key('tokens'), token) == 1 then
    return {'twice'}
  elseif call('SCARD', open_of('agent', agent, tenant)) >= tonumber(most) then
    return {'many', agent}
  end
  local root = id
  if parent ~= '' then
    local above = load(parent)
    local wrong = problem(above, opened)
    if wrong then
      return wrong
    elseif tonumber(ends) > tonumber(above.ends) or tenant ~= above.tenant then
      return {'wide'}
    end
    root = above.root
    call('SADD', key('below', parent), id)
  end
  call('HSET', key('task', id), 'row', row, 'tenant', tenant, 'agent', agent, 'starter', starter, 'parent', parent,
    'root', root, 'ends', ends, 'covered', expires, 'state', 'open', 'due', due)
  call('ZADD', key('by_age'), opened, id)
  call('ZADD', key('open'), ends, id)
  if due ~= '' then
    call('ZADD', key('due'), due, id)
  end
  call('SADD', open_of('agent', agent, tenant), id)
  call('SADD', open_of('tenant', tenant), id)
  if token ~= '' then
    keep_token(token, id, expires)
  end
  return {'ok'}
end

local function open_one(id, now)
  local task = load(id)
  local wrong = problem(task, now)
  local barred = not wrong and bar(task.tenant, task.agent, task.starter)
  return task, wrong or barred and {'barred', barred}
end

function transactions.issue(id, token, expires, epoch, now)
  local task, wrong = open_one(id, now)
  if is_over(epoch) then
    return {'over'}
  elseif wrong then
    return wrong
  elseif call('HEXISTS', key('tokens'), token) == 1 then
    return {'twice'}
  end
  keep_token(token, id, expires)
  call('HSET', key('task', id), 'covered', later(expires, task.covered))
  return {'ok', shown(task)}
end

function transactions.heartbeat(id, due, now)
  local task, wrong = open_one(id, now)
  if wrong then
    return wrong
  end
  task.due = due
  call('HSET', key('task', id), 'due', due)
  call('ZADD', key('due'), due, id)
  return {'ok', shown(task)}
end

function transactions.task(id)
  local task = load(id)
  return task and {'ok', shown(task)} or {'unknown'}
end

function transactions.tasks(opened, id)
  local first = 0
  if id ~= '' then
    local rank = call('ZREVRANK', key('by_age'), id)
    first = rank and rank + 1 or call('ZCOUNT', key('by_age'), opened, '+inf')
  end
  local page = {'ok'}
  for _, found in ipairs(call('ZREVRANGE', key('by_age'), first, first + PAGE - 1)) do
    table.insert(page, shown(load(found)))
  end
  return page
end

function transactions.task_of(token, now)
  local id = call('HGET', key('tokens'), token)
  local expires = call('ZSCORE', key('tokens_by_expiry'), token)
  local revoked = call('HEXISTS', key('revoked_tokens'), token) == 1
  if not id or tonumber(now) >= tonumber(expires) or revoked then
    return {'unknown'}
  end
  local task, wrong = open_one(id, now)
  return wrong and {'unknown'} or {'ok', shown(task)}
end

function transactions.end_task(id, state, cause, now)
  local task = load(id)
  if not task then
    return {'unknown'}
  elseif task.state ~= 'open' then
    return {'ok', {{shown(task), '0', entry_at(task.entry)}}}
  end
  return {'ok', end_family(task, state, cause, now)}
end

function transactions.end_tasks_of(kind, name, tenant, cause, now)
  return end_each(call('SRANDMEMBER', open_of(kind, name, tenant), PAGE), 'revoked', cause, now)
end

-- A page of what is over in these tenants. What their own authorities leave there in others is soon orphaned.
local function over_of(set, now, orphaned, ...)
  local own, found, first = {}, {}, 0
  for _, tenant in ipairs({...}) do
    own[tenant] = true
  end
  repeat
    local page = call('ZRANGEBYSCORE', key(set), '-inf', now, 'WITHSCORES', 'LIMIT', first, PAGE)
    for index = 1, #page, 2 do
      local id, score = page[index], tonumber(page[index + 1])
      if #found < PAGE and (score <= orphaned or own[call('HGET', key('task', id), 'tenant')]) then
        table.insert(found, id)
      end
    end
    first = first + PAGE
  until #page < 2 * PAGE or #found == PAGE
  return found
end

function transactions.end_over(now, ...)
  return end_each(over_of('open', now, now - KEEP_ENDED, ...), 'expired', 'expired', now)
end

function transactions.end_silent(now, ...)
  return end_each(over_of('due', now, -math.huge, ...), 'revoked', 'heartbeat_lost', now)
end

-- Revocations.

function transactions.revoke_token(token, cause, now)
  local earlier = call('HGET', key('revoked_tokens'), token)
  if earlier then
    return {'ok', entry_at(earlier)}
  end
  local expires, id = call('ZSCORE', key('tokens_by_expiry'), token), call('HGET', key('tokens'), token)
  if not expires then
    return {'unknown'}
  end
  local tenant = call('HGET', key('task', id), 'tenant') or ''
  local seq, entry = insert('token', token, tenant, cause, expires, now, 'ended')
  call('HSET', key('revoked_tokens'), token, seq)
  return {'ok', entry}
end

function transactions.stop(kind, name, tenant, cause, till, now)
  local mark = mark_of(kind, name, tenant)
  local earlier = stop_of(kind, name, tenant)
  if earlier then
    if tonumber(cjson.decode(earlier)[6]) >= tonumber(till) then
      return {'ok', earlier}
    end
    local seq = call('HGET', key('stops'), mark)
    remove(seq)
    call('ZREM', key('stops_by_number'), seq)
  end
  local restored = call('HGET', key('restored'), mark)
  if restored then
    remove(restored)
    call('HDEL', key('restored'), mark)
  end
  local seq, entry = insert(kind, name, tenant, cause, till, now, 'stopped')
  call('HSET', key('stops'), mark, seq)
  call('ZADD', key('stops_by_number'), seq, seq)
  return {'ok', entry}
end

function transactions.restore(kind, name, tenant, now)
  local mark = mark_of(kind, name, tenant)
  local stopped = stop_of(kind, name, tenant)
  if not stopped or cjson.decode(stopped)[7] ~= tenant then
    return {'unknown'}
  elseif call('EXISTS', open_of(kind, name, tenant)) == 1 then
    return {'open', stopped}
  end
  local seq = call('HGET', key('stops'), mark)
  remove(seq)
  call('HDEL', key('stops'), mark)
  call('ZREM', key('stops_by_number'), seq)
  local number, entry = insert(kind, name, tenant, '', seconds(now + KEEP_ENDED), now, 'restored')
  call('HSET', key('restored'), mark, number)
  return {'ok', entry}
end

function transactions.stops(after)
  local page = {'ok'}
  for _, seq in ipairs(call('ZRANGEBYSCORE', key('stops_by_number'), '(' .. after, '+inf', 'LIMIT', 0, PAGE)) do
    table.insert(page, entry_at(seq))
  end
  return page
end

function transactions.revocations(after)
  return {'ok', unpack(call('ZRANGEBYSCORE', key('feed'), '(' .. after, '+inf', 'LIMIT', 0, PAGE))}
end
