# %% [markdown]
# # steering

# %%
1 + 1
