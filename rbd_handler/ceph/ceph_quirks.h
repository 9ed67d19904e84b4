// SPDX-License-Identifier: Apache-2.0
// Where Ceph behaves other than its documentation or its newer releases do, and this program relies
// on it or works around it. One entry for each: the releases seen, what happens, what is done about
// it, and the test that fails when it changes. The live tests run on Debian 12 (Ceph 16.2) and 13
// (18.2). Seen "16.2" does not mean that later releases are different.
//
// librbd
// 1. 16.2: rbd_aio_compare_and_write takes at most 512 bytes; more is -EINVAL. Larger blocks are
//    read, compared and written (op_parts.h).                      ImageCompare.*/4096
// 2. 16.2: the mismatch offset counts from the begin of the object, later from the begin of the
//    image range. Only the offset within the block is used (RbdImage::finish).
//                                     ImageCompare.ReplacesWhatIsAsExpectedAndTellsTheFirstByte...
// 3. 16.2: a promotion notifies watchers of the snapshot that it creates, but not of the feature
//    bit that it clears afterwards: a handle that reads in between stays non-primary. The header is
//    notified again (ImageHandle::look_for_promotion).             ImageNewsTest.DemotedAndPromoted
// 4. 16.2: a handle from before a demotion still acquires the lock, which blocks a promotion; one
//    from after it gets -EINVAL. The features are read after each acquire
//    (ImageHandle::take_free_lock).                                ImageNewsTest.DemotedAndPromoted
// 5. All: rbd_lock_release notifies the watchers of the header and waits 5 s for one that does not
//    answer. Dead gateways are blocklisted before (peer_book.h).   lab: test_peers.py
// 6. All: a write across the end of an image that shrinks is cut, and returns 0. The size is read
//    after such an op (RbdImage::settle).          ImageNewsTest.AWriteAcrossAnEndThatMovesIsNotCut
// 7. All: rbd_config_image_list fails with -ERANGE for too few entries and returns their number;
//    16.2 has 77 options (image_facts.cc). ImageNewsTest.SizeLimitsAndSettings
//
// Monitors
// 8. 16.2: `osd blocklist ls` appends the list of ranges to the list of addresses, "[...][...]".
//    Only the first is parsed (parse_blocklist).                   Blocklist.MayBeEmpty
// 9. All: the monitors log each command, also one that only reads, and commit the log. The next
//    commit, such as that of a fence, then waits for up to a second. So nothing asks them
//    periodically (map_watch.h).         Ledger.WhileTheMapIsTheSameTheMonitorsAreNotAsked
//
// librados
// 10. All: no function returns the epoch of the OSD map; the admin socket's counters have it
//     (admin_socket.h).                            Ledger.TheLatestMapIsKnownWithoutACommand
#pragma once

#include <cstdint>

namespace tcmurbd::ceph {

// 1.
inline constexpr uint64_t kCompareBytesMax = 512;
// 7. More than any release has; the list grows if there are more.
inline constexpr int kImageOptions = 256;

}  // namespace tcmurbd::ceph
