-- The content of a small file that its owner changes while nginx runs.
--
-- Each use stats the file; it is read only if it has changed. So a change applies to the next request.

local ffi = require "ffi"

-- statx(2) has the same layout on every architecture; stat(2) has not.
ffi.cdef [[
struct face_age_time { int64_t seconds; uint32_t nanoseconds; int32_t reserved; };
struct face_age_statx {
    uint32_t mask, block_size; uint64_t attributes;
    uint32_t links, user, group; uint16_t mode, spare;
    uint64_t inode, size, blocks, attributes_mask;
    struct face_age_time read, made, changed, written;
    uint32_t device_major, device_minor, major, minor;
    uint64_t more[14];
};
int statx(int folder, const char *path, int flags, unsigned int mask, struct face_age_statx *out);
]]

local _M = {}

local CURRENT_FOLDER = -100  -- AT_FDCWD
local CHANGED_INODE_SIZE = 0x80 + 0x100 + 0x200  -- STATX_CTIME, _INO, _SIZE
local SETTLED = 1  -- seconds; file timestamps do not separate two changes within less than 0.01 s

local stat = ffi.new("struct face_age_statx")

-- A string that changes whenever the file does, and the time of its last change; else nil, nil and the
-- reason. Users cannot set ctime, and a new file under the old name has a new ctime too.
local function state_of(path)
    if ffi.C.statx(CURRENT_FOLDER, path, 0, CHANGED_INODE_SIZE, stat) ~= 0 then
        return nil, 0, "it is missing, or its folder may not be searched"
    end
    local changed = stat.changed
    local now = table.concat({
        path, tonumber(stat.major), tonumber(stat.minor), tostring(stat.inode), tostring(stat.size),
        tostring(changed.seconds), tonumber(changed.nanoseconds),
    }, " ")
    return now, tonumber(changed.seconds)
end

-- The file's text; nil and the reason if it cannot be read.
local function read(path)
    local file, fault = io.open(path, "r")
    local text
    if file then
        text, fault = file:read("*a")
        file:close()
    end
    return text, fault
end

-- A function that gives what `parse` makes of the text of the file at a path; nil and the reason if
-- it cannot be read. It is for one file.
function _M.new(parse)
    local value, state
    return function(path)
        local now, changed, fault = state_of(path)
        if now and now == state then
            return value
        end
        value, state = nil, nil
        local text
        if now then
            text, fault = read(path)
        end
        if not text then
            return nil, fault
        end
        value = parse(text)
        if ngx.time() - changed > SETTLED then
            state = now
        end
        return value
    end
end

return _M
