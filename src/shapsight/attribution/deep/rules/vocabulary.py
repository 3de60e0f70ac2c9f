"""The calls that need no rule: linear ones, where autograd's gradient is exact, questions about a tensor, and those
whose outcome has no gradient at all.
"""

LINEAR = frozenset(
    """
    avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d
    interpolate upsample upsample_nearest1d upsample_nearest2d upsample_nearest3d
    upsample_linear1d
    upsample_bilinear2d upsample_bicubic2d upsample_trilinear3d affine_grid affine_grid_generator
    upsample_bilinear upsample_nearest pad constant_pad_nd
    reshape view flatten unflatten permute transpose t contiguous clone cat hstack vstack dstack stack
    split split_with_sizes tensor_split hsplit vsplit chunk unbind narrow select index_select getitem gather
    take_along_dim sum mean nansum add sub rsub neg positive roll flip fliplr flipud rot90 expand expand_as
    broadcast_to repeat repeat_interleave tile squeeze unsqueeze movedim moveaxis swapaxes swapdims ravel
    pixel_shuffle pixel_unshuffle channel_shuffle native_channel_shuffle unfold fold im2col col2im cumsum
    to type float double type_as tril triu diagonal diag_embed view_as reshape_as as_strided
    T mT H mH real imag view_as_real view_as_complex conj resolve_conj resolve_neg
    fft_fft fft_ifft fft_rfft fft_irfft fft_fft2 fft_ifft2 fft_rfft2 fft_irfft2 fft_fftn fft_ifftn fft_fftshift
    fft_ifftshift fft_hfft complex trapezoid trapz nanmean copy_ zero_ fill fill_ index_add index_put index_put_
    index_copy index_fill
    scatter scatter_add masked_scatter masked_select max_unpool1d max_unpool2d max_unpool3d
    slice_scatter select_scatter diagonal_scatter slice lift_fresh_copy
    trace block_diag adjoint column_stack row_stack
    cuda cpu requires_grad_ diff atleast_1d atleast_2d atleast_3d meshgrid broadcast_tensors
    identity alias as_tensor detach data
    """.split()
)

# What these return says nothing about the values of the tensor that is asked.
METADATA = frozenset(
    """
    shape device dtype ndim is_cuda is_mps requires_grad layout is_sparse is_quantized grad_fn is_leaf names
    is_meta is_mkldnn is_nested is_cpu is_xla is_xpu itemsize nbytes _version _backward_hooks output_nr
    size dim numel stride is_contiguous element_size nelement storage_offset data_ptr len ndimension
    is_floating_point is_complex hash get_device new_zeros new_ones new_empty new_full new_tensor
    zeros_like ones_like empty_like full_like rand_like randn_like is_tensor is_same_size result_type
    _is_view untyped_storage storage is_shared is_pinned is_coalesced repr format _base grad _grad
    is_set_to dense_dim sparse_dim _has_compatible_shallow_copy_type sym_size sym_numel sym_stride
    _is_zerotensor is_conj is_neg has_names retains_grad broadcast_shapes
    _nested_tensor_from_mask_left_aligned
    """.split()
)

# These ask of all tensors but the first no more than their shape, type and place.
AS_OTHERS = frozenset("to type_as expand_as view_as reshape_as".split())

# What these ask of a later backward pass is not done in ours: multipliers are no gradients.
GRADIENT_HOOKS = frozenset("register_hook retain_grad register_post_accumulate_grad_hook".split())

# A tensor becomes a Python value; harmless while it is the same for every image.
LEAVES_TORCH = frozenset("numpy __array__ __dlpack__ dlpack".split())
ANSWERS = LEAVES_TORCH | frozenset(
    """
    __bool__ __int__ __float__ __complex__ __index__ __contains__ item tolist equal allclose is_nonzero
    """.split()
)

# The outcome has no gradient. It may be asked about and indexed with, but may not make activations.
DISCRETE = frozenset(
    """
    gt lt ge le eq ne isnan isinf isfinite isposinf isneginf isreal isclose signbit argmax argmin argsort nonzero
    argwhere searchsorted bucketize logical_not logical_and logical_or logical_xor any all count_nonzero isin
    long int short char byte bool nms
    """.split()
)

# These read or write at places; where those depend on activations the model selects.
INDEXING = frozenset(
    """
    getitem gather take_along_dim take index_select masked_select embedding index_add index_put index_copy index_fill
    scatter scatter_add setitem max_unpool1d max_unpool2d max_unpool3d
    """.split()
)

# A mask of an activation may be cast to a number or enter these, as the number that it is.
CASTS = frozenset("to float double type type_as".split())
ARITHMETIC = frozenset("mul add sub rsub div".split())

# These have handlers that know what to do with masks.
TAKES_MASKS = frozenset("where masked_fill setitem invert logical_not logical_and logical_or and or".split())

# Applied to one tensor and constants of its shape or smaller, each gives an elementwise function of it.
ELEMENTWISE_ARITHMETIC = frozenset(
    """
    add sub rsub mul div rdiv neg positive to float double type type_as clone contiguous where masked_fill lerp
    addcmul addcdiv detach data maximum minimum pow rpow prelu rrelu dropout setitem
    """.split()
)

# A denominator that hides in a factor is carried through these.
RESHAPES = frozenset(
    """
    expand expand_as view reshape unsqueeze squeeze flatten unflatten permute transpose movedim view_as reshape_as
    broadcast_to getitem repeat to float double type_as contiguous clone
    """.split()
)
