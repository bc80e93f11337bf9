-- Claims units of a quota for one gateway, in one window. All claims together are never more than the quota, save by what was
-- used while this could not be asked.
--
-- KEYS  a hash: under `t` the units of all gateways; under the name of each one its own, and the number of the question
--       that they come from
-- ARGV  1     the gateway
--       2     the number of its question: one that comes after its successor changes nothing
--       3     the units that it has used
--       4, 5  how many more it needs now, and would have ahead
--       6     the quota
--       7     when all of this may go, as Unix time
--       8     what becomes of what it has beside: 0 it is kept, 1 it is given back, 2 the same, and the gateway does not
--             come back
-- Gives the units that it has, those that all others have, and 1 if it was known here.

-- Of what is left, no more than this part is given ahead.
local SHARE = 16

local kept = redis.call('HMGET', KEYS[1], 't', ARGV[1])
local total, units, number = tonumber(kept[1]) or 0, 0, 0
if kept[2] then
  units, number = string.match(kept[2], '^(%d+) (%d+)$')
  units, number = tonumber(units) or 0, tonumber(number) or 0
end
local knew = kept[2] and 1 or 0
local others = math.max(total - units, 0)
if number >= tonumber(ARGV[2]) then return { units, others, knew } end

local own, need, ahead = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
-- Several questions may be under way, so one that asks for more never takes away.
local have = own
if ARGV[8] == '0' then have = math.max(units, own) end
local left = math.max(tonumber(ARGV[6]) - others - have, 0)
local given = math.min(math.max(own + need - have, 0), left)
local more = math.max(own + need + ahead - have - given, 0)
given = given + math.min(more, math.floor((left - given) / SHARE))
units = have + given

-- What is used by one that does not come back is nobody's; its number stays, so that no late question counts it again.
local its = units
if ARGV[8] == '2' then its = 0 end
redis.call('HSET', KEYS[1], 't', string.format('%d', others + units), ARGV[1], string.format('%d %s', its, ARGV[2]))
redis.call('EXPIREAT', KEYS[1], ARGV[7])
return { units, others, knew }
