unit_test(kernel_uio_test SOURCES kernel_uio_test.cc LIBS tcmurbd_kernel)
unit_test(kernel_configfs_test SOURCES kernel_configfs_test.cc LIBS tcmurbd_kernel)
unit_test(kernel_lun_access_test SOURCES kernel_lun_access_test.cc LIBS tcmurbd_kernel)
unit_test(kernel_netlink_event_test SOURCES kernel_netlink_event_test.cc LIBS tcmurbd_kernel)
unit_test(kernel_lock_file_test SOURCES kernel_lock_file_test.cc LIBS tcmurbd_kernel)
# Skips itself unless a variable allows changes to this kernel.
unit_test(kernel_live_test SOURCES kernel_live_test.cc LIBS tcmurbd_kernel tcmurbd_ring)
