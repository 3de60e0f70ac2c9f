"""The calls that need no rule: linear ones, where autograd's gradient is exact, and questions about a tensor."""

LINEAR = frozenset(
    """
    batch_norm avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d
    interpolate upsample upsample_bilinear upsample_nearest pad constant_pad_nd
    reshape view flatten unflatten permute transpose t contiguous clone cat hstack vstack dstack stack
    split split_with_sizes tensor_split hsplit vsplit chunk unbind narrow select index_select getitem gather
    take_along_dim sum mean nansum add sub rsub neg positive roll flip fliplr flipud rot90 expand expand_as
    broadcast_to repeat repeat_interleave tile squeeze unsqueeze movedim moveaxis swapaxes swapdims ravel
    pixel_shuffle pixel_unshuffle channel_shuffle native_channel_shuffle unfold fold im2col col2im cumsum
    to type float double type_as tril triu diagonal diag_embed view_as reshape_as as_strided
    T mT H mH real imag view_as_real view_as_complex conj resolve_conj resolve_neg
    fft_fft fft_ifft fft_rfft fft_irfft fft_fft2 fft_ifft2 fft_rfft2 fft_irfft2 fft_fftn fft_ifftn fft_fftshift
    fft_ifftshift copy_ setitem zero_ index_add scatter_add index_put_ masked_scatter
    cuda cpu retain_grad requires_grad_ diff kron atleast_1d atleast_2d atleast_3d meshgrid broadcast_tensors
    identity alias detach data
    """.split()
)

# What these return says nothing about the values of the tensor that is asked.
METADATA = frozenset(
    """
    shape device dtype ndim is_cuda is_mps requires_grad layout is_sparse is_quantized grad_fn is_leaf names
    is_meta is_mkldnn is_nested is_cpu is_xla is_xpu itemsize nbytes _version _backward_hooks output_nr
    size dim numel stride is_contiguous element_size nelement storage_offset data_ptr len ndimension
    is_floating_point is_complex hash register_hook get_device new_zeros new_ones new_empty new_full new_tensor
    zeros_like ones_like empty_like full_like rand_like randn_like is_tensor is_same_size result_type
    is_inference _is_view untyped_storage storage is_shared is_pinned is_coalesced repr format
    """.split()
)
