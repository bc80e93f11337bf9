-- Asks buckets together: all of them give, or none does. The rule is that of `settle` (src/limit/decide.rs).
--
-- KEYS  one for each bucket; its value is the moment at which it is full again, as "seconds.nanoseconds"
-- ARGV  eight numbers for each bucket:
--       1, 2  how long what is taken takes to come back: seconds, nanoseconds
--       3, 4  how much later than now it may be full again: seconds, nanoseconds
--       5     the rule that it belongs to
--       6     1 if it only looks on
--       7     how many units are taken ahead, if they are there
--       8     how long one of these takes to come back, in nanoseconds
-- Gives now, as seconds and microseconds, and for each bucket: the moment before, as seconds and nanoseconds, and how
-- many units were taken ahead.
--
-- A moment in nanoseconds is more than a number holds exactly here, so it stands in two.

local time = redis.call('TIME')
local now_s, now_n = tonumber(time[1]), tonumber(time[2]) * 1000
local answer = { now_s, tonumber(time[2]) }
local after, looks_away, refused = {}, {}, false

for index, key in ipairs(KEYS) do
  local at = (index - 1) * 8
  local s, n = 0, 0
  local kept = redis.call('GET', key)
  if kept then
    s, n = string.match(kept, '^(%d+)%.(%d+)$')
    s, n = tonumber(s) or 0, tonumber(n) or 0
  end
  answer[#answer + 1] = s
  answer[#answer + 1] = n
  answer[#answer + 1] = 0
  if s < now_s or (s == now_s and n < now_n) then s, n = now_s, now_n end
  s, n = s + tonumber(ARGV[at + 1]), n + tonumber(ARGV[at + 2])
  if n >= 1000000000 then s, n = s + 1, n - 1000000000 end
  -- The last moment at which it may be full again.
  local last_s, last_n = now_s + tonumber(ARGV[at + 3]), now_n + tonumber(ARGV[at + 4])
  if last_n >= 1000000000 then last_s, last_n = last_s + 1, last_n - 1000000000 end
  if s > last_s or (s == last_s and n > last_n) then
    if ARGV[at + 6] == '1' then looks_away[ARGV[at + 5]] = true else refused = true end
  end
  after[index] = { s, n, last_s, last_n }
end

if refused then return answer end

for index, key in ipairs(KEYS) do
  local at = (index - 1) * 8
  if not looks_away[ARGV[at + 5]] then
    local s, n, last_s, last_n = unpack(after[index])
    local ahead = tonumber(ARGV[at + 7])
    if ahead > 0 then
      local unit = tonumber(ARGV[at + 8])
      -- What is taken ahead comes back within seconds, so more than a thousand are as good as a thousand.
      local there = math.min(last_s - s, 1000) * 1000000000 + last_n - n
      ahead = math.min(ahead, math.floor(there / unit))
      local more = n + ahead * unit
      s, n = s + math.floor(more / 1000000000), more % 1000000000
      answer[index * 3 + 2] = ahead
    end
    -- Kept until it is full, by the millisecond in which that is, and a little longer.
    local life = (s - now_s) * 1000 + math.ceil(n / 1000000) - math.floor(now_n / 1000000) + 2
    redis.call('SET', key, string.format('%d.%09d', s, n), 'PX', string.format('%d', life))
  end
end

return answer
