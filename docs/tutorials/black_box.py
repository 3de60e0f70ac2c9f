# %% [markdown]
# # black_box

# %%
1 + 1
