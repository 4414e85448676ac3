-- Authentication: the name of the key that a request carries.
--
-- A revocation applies to the next request, and requests without a valid key cause no reading.

local ffi = require "ffi"
local logs = require "logs"
local watched_file = require "watched_file"

ffi.cdef "unsigned char *SHA256(const unsigned char *text, size_t length, unsigned char *out);"

local _M = {}

local digest = ffi.new("unsigned char[32]")

-- Names by their keys' SHA-256.
local names_in = watched_file.new(function(text)
    local found = {}
    for line in text:gmatch("[^\n]+") do
        local hash, name = line:match("^(%x+) ([%w._-]+)")
        if hash and #hash == 64 then
            found[hash] = found[hash] or name
        end
    end
    return found
end)

-- The name of the request's key; empty without a valid key.
function _M.name()
    local key = (ngx.var.http_authorization or ""):match("^Bearer ([%w_-]+)$")
    if not key or #key ~= 43 then
        return ""
    end
    local names, fault = names_in(ngx.var.api_keys)
    if not names then
        logs.log_error("the keys cannot be read: " .. fault)
        return ""
    end
    ffi.C.SHA256(key, #key, digest)
    local hash = ffi.string(digest, 32):gsub(".", function(byte)
        return string.format("%02x", byte:byte())
    end)
    return names[hash] or ""
end

return _M
