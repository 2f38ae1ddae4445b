-- What the script of the Redis store begins with: its arguments, and which epoch the store is in. redis_transactions.lua and
-- redis_counting.lua are read after this as one script.
-- Times come and leave as text, for a number of Lua loses its last digits on the way out.

local prefix = KEYS[1]
local transaction, me, before, known, fresh = unpack(ARGV, 1, 5)
local KEEP_ENDED, KEEP_SPENT, PAGE, VERSION = unpack(ARGV, 6, 9)
local argument = {unpack(ARGV, 10)}
KEEP_ENDED, KEEP_SPENT, PAGE, before = tonumber(KEEP_ENDED), tonumber(KEEP_SPENT), tonumber(PAGE), tonumber(before)

local call = redis.call
local transactions = {}

local function key(...)
  return prefix .. table.concat({...}, ':')
end

local function seconds(number)
  return string.format('%.6f', number)
end

local function later(one, other)
  return tonumber(one) >= tonumber(other) and one or other
end

-- Names of epochs are those of epochs.py.

local LAST = 0xffffffff

local function number_of(epoch)
  return tonumber(string.match(epoch, '^' .. string.rep('[0-9a-f]', 8)) or '0', 16)
end

local function is_past(epoch, latest)
  return latest ~= '' and epoch ~= latest and number_of(epoch) <= number_of(latest)
end

local function begin_after(lost)
  local number = number_of(lost) + 1
  if number > LAST then
    error('no number is left for another epoch of the store')
  end
  local epoch = string.format('%08x', number) .. string.sub(fresh, 9)
  call('HSET', key('store'), 'version', VERSION, 'epoch', epoch)
  call('PUBLISH', key('changed'), me)
  return epoch
end

-- Every call leaves a mark that only grows. A store that knows a lower one than the caller remembers, or is in an epoch that
-- is over, was set back, and one without an epoch was emptied: in each a new epoch begins before anything else happens. This
-- is also the first write, and one that a full memory refuses: what follows it is never cut in the middle.
local function begin()
  local version, epoch = unpack(call('HMGET', key('store'), 'version', 'epoch'))
  if version and version ~= VERSION then
    return nil, nil, redis.error_reply('VERSION the store was written by another version of Doorward')
  end
  local count = call('HINCRBY', key('witnesses'), me, 1)
  if not epoch or is_past(epoch, known) or epoch == known and count <= before then
    epoch, count = begin_after(known), before + 1
    call('HSET', key('witnesses'), me, count)
  end
  return epoch, count
end

function transactions.beat()
  local epoch, seq, swept = unpack(call('HMGET', key('store'), 'epoch', 'seq', 'swept'))
  return {'ok', epoch, seq or '0', swept or '0'}
end

function transactions.begin_epoch(lost, seen)
  local epoch, seq = unpack(call('HMGET', key('store'), 'epoch', 'seq'))
  if epoch == lost and tonumber(seq or 0) < tonumber(seen) then
    begin_after(lost)
  end
  return transactions.beat()
end

-- A sweep at a time that is still to come has forgotten what could be good again.
function transactions.look_back(now)
  local epoch, swept = unpack(call('HMGET', key('store'), 'epoch', 'swept'))
  if now + KEEP_SPENT < tonumber(swept or 0) then
    begin_after(epoch)
    call('HSET', key('store'), 'swept', now)
  end
  return transactions.beat()
end
