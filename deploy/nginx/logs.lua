-- What is written down: of the access log not all that somebody makes nginx do, and of TorchServe's
-- failures a line without the request.

local _M = {}

local LINES = 50  -- of the access log in a second, of one key, or of one address without a valid key
local PAUSE = 1   -- seconds from a line of the error log to the next, of each worker

local lines = ngx.shared.lines_written
local told = {}

-- Whether the request gets a line of the access log: who resets streams as fast as it can makes a
-- thousand times as many requests as anybody is let through.
function _M.within_lines()
    local key = ngx.var.api_key
    local who = key ~= "" and key or ngx.var.binary_remote_addr
    return (lines:incr(who, 1, 0, 1) or 0) <= LINES
end

-- A line of the error log. nginx adds the address that was asked for, with all that stands in it, to
-- what is written while a request is looked at; so it is written at once afterwards.
function _M.tell(words)
    if ngx.now() - (told[words] or 0) < PAUSE then
        return
    end
    told[words] = ngx.now()
    ngx.timer.at(0, function() ngx.log(ngx.CRIT, words) end)
end

-- Says so where TorchServe is away, or does not answer.
function _M.tell_of_failures()
    local status = (ngx.var.upstream_status or ""):match("%d+$")
    if status == "502" then
        _M.tell("TorchServe at " .. ngx.var.upstream_addr .. " refused or broke off a connection")
    elseif status == "504" then
        _M.tell("TorchServe at " .. ngx.var.upstream_addr .. " timed out")
    end
end

return _M
