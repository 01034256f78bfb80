-- The rules of ledger.py, statement by statement; that file explains them. redis.py puts its constants in front.
local header_key, times_key, queue_key = KEYS[1], KEYS[2], KEYS[3]
local operation, permits, window = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local clock = time[1] + time[2] / 1000000

local names = {'count', 'newest', 'now', 'skew', 'tickets', 'blocked_until', 'paced_since', 'paced_until',
               'learned', 'penalty_count', 'longest', 'forgotten'}
local s = {}
local values = redis.call('HMGET', header_key, unpack(names))
for i, name in ipairs(names) do
  s[name] = tonumber(values[i] or 0)
end
local is_new = not values[1]

local function exact(number)
  return string.format('%.17g', number)
end

-- Time of grant `number`; the list holds the last ones.
local function time_of(number)
  return tonumber(redis.call('LINDEX', times_key, number - s.count))
end

if operation ~= 'leave' then
  s.skew = math.max(s.skew, s.now - clock)
  s.now = clock + s.skew
end

local function start_slowly()
  s.paced_until = math.max(s.paced_until, s.now + window)
  s.forgotten = s.now
end

if is_new then
  s.penalty_count = -1
  -- A server that has just been started may have lost what was here.
  local info = redis.pcall('INFO', 'server')
  local uptime = type(info) == 'string' and tonumber(string.match(info, 'uptime_in_seconds:(%d+)'))
  if not uptime or uptime < window then
    start_slowly()
  end
end

local function allowed()
  if s.learned <= 0 or s.learned >= permits then
    return permits
  end
  local recovered = (s.now - s.paced_since) / (window * RECOVERY_WINDOWS)
  return s.learned + (permits - s.learned) * math.min(1, recovered) ^ 3
end

local function ready_at(place)
  local number = s.count - permits + place % permits
  local ready = 0
  if number >= 0 then
    ready = time_of(number) + window
  end
  if place >= permits then
    ready = math.max(ready, s.now) + window * math.floor(place / permits)
  end
  local penalty = s.blocked_until
  if s.now < s.paced_until then
    local spacing = window / allowed()
    penalty = math.max(penalty + spacing * place, s.newest + spacing * (place + 1))
  end
  return math.max(ready, penalty), penalty > ready
end

local function sent_within()
  local low, high = math.max(0, s.count - redis.call('LLEN', times_key)), s.count
  while low < high do
    local middle = math.floor((low + high) / 2)
    if time_of(middle) <= s.now - window then
      low = middle + 1
    else
      high = middle
    end
  end
  return s.count - low
end

local function grant()
  s.longest = math.max(s.longest, permits)
  redis.call('RPUSH', times_key, exact(s.now))
  redis.call('LTRIM', times_key, -s.longest, -1)
  s.count = s.count + 1
  s.newest = s.now
end

local function ask(ticket, max_wait)
  local tickets, place = redis.call('HGETALL', queue_key), 0
  for i = 1, #tickets, 2 do
    local other, due = tonumber(tickets[i]), tonumber(tickets[i + 1])
    if due + window / GRACES_PER_WINDOW < s.now and other ~= ticket then
      redis.call('HDEL', queue_key, tickets[i])
    elseif ticket == 0 or other < ticket then
      place = place + 1
    end
  end
  local ready, penalized = ready_at(place)
  penalized = penalized and 1 or 0
  local delay = math.max(0, ready - s.now)
  if delay > max_wait then
    redis.call('HDEL', queue_key, ticket)
    return {0, 0, exact(delay), '0', penalized}
  end
  if delay == 0 then
    redis.call('HDEL', queue_key, ticket)
    s.forgotten = math.max(s.forgotten, s.now - window)
    grant()
    return {1, 0, '0', '0', 0}
  end
  if ticket == 0 then
    s.tickets = s.tickets + 1
    ticket = s.tickets
  end
  local pause = math.min(delay, window / PAUSES_PER_WINDOW)
  if redis.call('HEXISTS', queue_key, ticket) == 1 or redis.call('HLEN', queue_key) < MAX_QUEUE then
    redis.call('HSET', queue_key, ticket, exact(s.now + pause))
  end
  return {0, ticket, exact(delay), exact(pause), penalized}
end

local function renew(age)
  if s.now < s.blocked_until or s.now - age <= s.forgotten then
    return 0
  end
  grant()
  return 1
end

local function penalize(retry_after)
  if s.count ~= s.penalty_count then
    local sent = math.min(sent_within(), allowed())
    s.learned = math.max(sent * 0.98, allowed() / 2, permits / 8)
    s.paced_since = s.now
    s.paced_until = s.now + retry_after + window * RECOVERY_WINDOWS
    s.penalty_count = s.count
  end
  s.blocked_until = math.max(s.blocked_until, s.now + retry_after)
end

local reply = 0
if operation == 'ask' then
  reply = ask(tonumber(ARGV[4]), tonumber(ARGV[5]))
elseif operation == 'renew' then
  reply = renew(tonumber(ARGV[4]))
elseif operation == 'leave' then
  redis.call('HDEL', queue_key, ARGV[4])
elseif operation == 'penalize' then
  penalize(tonumber(ARGV[4]))
else
  start_slowly()
end

local fields = {}
for i, name in ipairs(names) do
  fields[2 * i - 1], fields[2 * i] = name, exact(s[name])
end
redis.call('HSET', header_key, unpack(fields))
local lifetime = math.ceil(math.max(0, s.blocked_until - s.now) + window * (RECOVERY_WINDOWS + 2))
for _, key in ipairs(KEYS) do
  redis.call('EXPIRE', key, lifetime)
end
return reply
